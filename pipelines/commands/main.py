"""The command `krt`, which the recipes of the justfile call.

Exit codes: 0 done, 1 something was found (docs/operations.md#a-day), 2 could not run, 130 ended
with Ctrl+C.
"""

from __future__ import annotations

import os
import re
import signal
import stat
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata
from io import TextIOWrapper
from keyword import iskeyword
from types import FrameType

from cyclopts import App, CycloptsError, Group, Parameter
from cyclopts.exceptions import UnusedCliTokensError

from engine.environment import FOR_LIVE, forget_libpq_variables, share_heaps
from engine.errors import FileError, InputError, KrtError
from engine.text import visible
from pipelines.commands.overview import COMMANDS, EXAMPLES

_LONGEST = 1000  # characters of an argument
_LINE = 600  # characters of a message
# Windows has no SIGHUP; its SIGBREAK comes when the console is closed.
_ENDS = [
    signal.Signals[name]
    for name in ("SIGTERM", "SIGHUP", "SIGBREAK")
    if name in signal.Signals.__members__
]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; a mistake of the user is one line on standard error and exit code 2."""
    _listen_to_signals()
    accept_any_text()
    forget_libpq_variables()  # before any thread runs: an address says all about a database
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["live"]:
        os.environ.update(FOR_LIVE | os.environ)
        share_heaps()
    try:
        _check(given)
        app = commands(described=not given or given[0].startswith("-"))
        code = app(given, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        is_query = isinstance(error, UnusedCliTokensError) and given[0] == "sql"
        query = f'put the query in quotes: just sql "{" ".join(given[1:])}"'
        return _refuse(query if is_query else str(error))
    except FileError as error:
        return _refuse_file(error)
    except KrtError as error:
        return _refuse(str(error))
    except OSError as error:  # the disk, a port; errors with more context are KrtErrors
        file = f"{error.filename}: " if error.filename else ""
        return _refuse(f"{file}{error.strerror or error or type(error).__name__}")
    except KeyboardInterrupt:
        return 130
    return code if isinstance(code, int) else 0


def commands(*, described: bool) -> App:
    """Return the commands, `described` in a line each, or else each with its own long help."""
    app = App(
        name="krt",
        help="Minute data of the Korean market: collected, turned into matrices and signals, kept.",
        help_format="plaintext",
        version=lambda: metadata.version("korea-realtime-trading"),
        version_flags=["--version"],
        default_parameter=Parameter(negative=()),
    )
    for place, (group, held) in enumerate(COMMANDS.items()):
        shown = Group(group, sort_key=place)
        for name, line in held.items():
            module = name.replace("-", "_") + "_" * iskeyword(name)
            path = f"pipelines.commands.{module}:{module}"
            examples = "\n".join(("Examples:", *(f"  {one}" for one in EXAMPLES[name])))
            app.command(
                path,
                name=name,
                help=line if described else None,
                help_epilogue=None if described else examples,
                group=shown,
            )
    app.register_install_completion_command(help="have the shell complete commands and options")
    return app


def accept_any_text() -> None:
    """Have the output show `?` for what its encoding lacks, such as our signs in Korea's cp949.

    Python would end the command with a traceback, and with the exit code of findings.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # None without a console, something else in a test
            stream.reconfigure(errors="replace")


def _listen_to_signals() -> None:
    """Have SIGTERM and SIGHUP (a closed terminal) end us as Ctrl+C does: nothing is left behind.

    What we were started to ignore stays ignored. A script's `&` ignores Ctrl+C for us: it is then
    held back until SIGTERM comes, since asyncio ends its tasks in order on a SIGINT only if
    Python's own handler is installed. Without a terminal SIGHUP changes nothing: whoever said
    `nohup` said it to `just`, which does not hand that on.
    """
    if sys.platform != "win32" and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in _ENDS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)
    if sys.platform != "win32" and not any(map(os.isatty, range(3))):
        signal.signal(signal.SIGHUP, lambda *_: None)


def _end(number: int, _frame: FrameType | None) -> None:
    """End as with Ctrl+C, once: systemd signals every process, and `just` hands its signal on."""
    for each in _ENDS:
        if signal.getsignal(each) is _end:
            signal.signal(each, lambda *_: None)
    if number != signal.SIGTERM:
        _detach_from_terminal()
    signal.raise_signal(signal.SIGINT)
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _detach_from_terminal() -> None:
    """Have output that went to a terminal which is gone go nowhere, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        try:
            descriptor = stream.fileno()
            is_device = stat.S_ISCHR(os.fstat(descriptor).st_mode)
        except (OSError, ValueError):  # it is not a file
            continue
        if is_device and not os.isatty(descriptor):  # a terminal that hung up is no longer one
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)


def _check(arguments: Sequence[str]) -> None:
    """Refuse arguments that cannot be a code, date, name or path; SQL may be long and have lines.

    Raises InputError.
    """
    sql = arguments[:1] == ["sql"]
    for argument in arguments:
        if not argument:
            raise InputError("an argument is empty: leave the option out, or give it a value")
        bare = " ".join(argument.split()) if sql else argument
        if not bare.isprintable():
            raise InputError(f"{argument!r} holds a character that cannot be printed")
        if len(argument) > _LONGEST and not sql:
            raise InputError(f"{argument!r} is too long: {len(argument)} characters")
    first, last = (_iso_date_after(option, arguments) for option in ("--from", "--to"))
    if first and last and first > last:
        raise InputError(f"--from {first} is after --to {last}: exchange them")


def _iso_date_after(option: str, arguments: Sequence[str]) -> str | None:
    """Return the value of an option, given after it or after =, if it may be a date."""
    found = re.findall(rf"(?:^|\0){option}[\0=](\d{{4}}-\d\d-\d\d)(?=\0|$)", "\0".join(arguments))
    return found[-1] if found else None


def _refuse_file(error: FileError) -> int:
    """Print the findings on standard error where they are more than one line can say."""
    if error.findings.height > 1:
        from pipelines.reports.terminal import print_frame  # noqa: PLC0415 - only here is it needed

        print_frame(error.findings, "table", "findings", file=sys.stderr)
    return _refuse(str(error))


def _refuse(message: str) -> int:
    """Print one line, however long the argument it quotes, and without control characters."""
    line = visible(" ".join(message.split()))
    shown = line if len(line) <= _LINE else f"{line[: _LINE // 2]} … {line[-_LINE // 2 :]}"
    if sys.stderr is None:  # a task of Windows has no console
        _keep_refusal(shown)
    else:
        sys.stderr.write(f"❌ {shown}\n")
    return 2


def _keep_refusal(line: str) -> None:
    """Write why nothing was started to where `just service log` looks; the last time counts."""
    from engine.clock import WallClock  # noqa: PLC0415 - only here is it needed
    from engine.files import private_folder  # noqa: PLC0415
    from engine.settings import load_settings  # noqa: PLC0415

    # Settings that are broken are named by every other command as well.
    with suppress(InputError, OSError):
        file = private_folder(load_settings().folder("live") / "logs") / "live-refused.log"
        file.write_text(f"{WallClock().now():%Y-%m-%d %H:%M:%S} ❌ {line}\n", "utf-8")


if __name__ == "__main__":
    sys.exit(main())
