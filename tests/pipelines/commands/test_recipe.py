"""The justfile's own shell: the same words on every system."""

import os
import signal
import subprocess
import sys

import pytest

from tests.ci_tools import ci_tool
from tests.paths import ROOT

words = ci_tool("recipe").words


def test_arguments_stand_where_the_recipe_wants_them():
    assert words('krt sql "$@" --json', ["SELECT 1; --", "a b"]) == [
        "krt",
        "sql",
        "SELECT 1; --",
        "a b",
        "--json",
    ]


def test_quotes_hold_words_together():
    assert words("pytest -m 'not slow' \"$@\"", []) == ["pytest", "-m", "not slow"]


def run(line: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / ".ci" / "recipe.py"), line, "recipe", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_exit_code_is_the_commands():
    assert run('python -c "import sys; sys.exit(int(sys.argv[1]))" "$@"', "130").returncode == 130


def test_a_missing_command_is_one_line():
    done = run("there-is-no-such-command")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for another process")
def test_interrupt_reaches_the_command_and_its_exit_code_comes_back():
    # Short naps: a signal that comes just before a sleep begins is heard only after it.
    program = (
        "import sys, time\ntry:\n print('up', flush=True)\n for _ in range(600): time.sleep(0.05)\n"
        "except KeyboardInterrupt: sys.exit(130)"
    )
    line = f'python -c "{program}"'
    with subprocess.Popen(
        [sys.executable, str(ROOT / ".ci" / "recipe.py"), line, "recipe"],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "up\n"
        os.killpg(running.pid, signal.SIGINT)
        assert running.wait(timeout=20) == 130
