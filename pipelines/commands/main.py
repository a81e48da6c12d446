"""The command `krt`: what each recipe of the justfile calls.

Exit codes: 0 done, 1 findings (validate), 2 could not run, 130 ended with Ctrl+C.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from importlib import metadata

from cyclopts import App, CycloptsError, Parameter

from engine.errors import InputError, KrtError

_LONGEST = 1000  # characters of an argument
_LINE = 600  # characters of what we say

app = App(
    name="krt",
    help="Minute data of the Korean market: collected, turned into matrices and signals, kept.",
    help_format="plaintext",
    version=lambda: metadata.version("korea-realtime-trading"),
    version_flags=["--version"],
    default_parameter=Parameter(negative=()),
)
# Commands are named, not imported: `just sql` need not load what `just live` needs.
_COMMANDS = (
    "live",
    "sim",
    "sql",
    "status",
    "plot",
    "dashboard",
    "research",
    "backfill",
    "validate",
    "replay",
    "backtest",
    "sweep",
    "calendar",
    "db",
    "migrate",
    "db_roles",
    "export",
)
for _name in _COMMANDS:  # each is the function of its name in the module of its name
    app.command(f"pipelines.commands.{_name}:{_name}", name=_name.replace("_", "-"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; whatever the user did wrong is one line and exit code 2."""
    # Whoever ends us with a SIGTERM means the same as with Ctrl+C: leave nothing behind.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["live"]:
        # A minute's frames are small: to hand them to other threads costs a tenth of a day's CPU.
        os.environ.setdefault("POLARS_MAX_THREADS", "1")
    try:
        _check(given)
        code = app(given, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        return _refuse(" ".join(str(error).split()))
    except KrtError as error:
        return _refuse(str(error))
    except OSError as error:  # the disk, a port: whoever knew more about it has said so above
        place = f"{error.filename}: " if error.filename else ""
        return _refuse(f"{place}{error.strerror or error or type(error).__name__}")
    except KeyboardInterrupt:
        return 130
    return code if isinstance(code, int) else 0


def _check(arguments: Sequence[str]) -> None:
    """Refuse what no code, date, name or path is; SQL may be long and have lines.

    Raises InputError.
    """
    sql = arguments[:1] == ["sql"]
    for argument in arguments:
        if not argument:
            raise InputError("an argument is empty: leave the option out, or say what you mean")
        bare = " ".join(argument.split()) if sql else argument
        if not bare.isprintable():
            raise InputError(f"{argument!r} holds a character that cannot be printed")
        if len(argument) > _LONGEST and not sql:
            raise InputError(f"{argument!r} is too long: {len(argument)} characters")


def _refuse(message: str) -> int:
    """Say what is wrong in one line that no argument can make long, or command the terminal."""
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(message.split()))
    shown = line if len(line) <= _LINE else f"{line[: _LINE // 2]} … {line[-_LINE // 2 :]}"
    sys.stderr.write(f"❌ {shown}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
