"""Skips are told by reason and counted against a list: one that nobody expects fails the run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.paths import ROOT
from tests.skips import read_expected, unexpected

LIST = """
# a comment
any  long: *
2    no disk here
"""


@pytest.mark.parametrize(
    ("skips", "found"),
    [
        ({"long: a": 7, "long: b": 9, "no disk here": 2}, []),
        ({}, []),
        ({"no disk here": 3}, ["3 skipped, 2 expected: no disk here"]),
        ({"no browser": 1}, ["1 skipped, 0 expected: no browser"]),
    ],
)
def test_more_skips_than_expected_are_named(skips: dict[str, int], found: list[str]) -> None:
    assert unexpected(Counter(skips), read_expected(LIST)) == found


def test_an_unexpected_skip_fails_the_run(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text(
        "import pytest\n"
        "def test_a(): pass\n"
        "@pytest.mark.skipif(True, reason='no browser')\n"
        "def test_b(): pass\n"
    )
    (tmp_path / "list.txt").write_text("1 no browser\n")
    (tmp_path / "other.txt").write_text("1 no disk here\n")
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "-p", "tests.skips"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    codes = []
    for name in ("list.txt", "other.txt"):
        done = subprocess.run(
            [*command, "--expected-skips", name, "test_one.py"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "1 skipped: no browser" in done.stdout, done.stdout + done.stderr
        codes.append(done.returncode)
    assert codes == [0, 1]
    assert "❌ 1 skipped, 0 expected: no browser" in done.stdout


def test_the_lists_of_the_project_can_be_read() -> None:
    for name in ("skips.txt", "skips-without-programs.txt"):
        assert read_expected((ROOT / ".ci" / name).read_text("utf-8"))
