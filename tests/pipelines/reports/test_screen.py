"""`just plot` and `just study` open what they made where somebody looks, and never elsewhere."""

from __future__ import annotations

import sys
import webbrowser
from pathlib import Path

import pytest

from pipelines.commands.main import main
from pipelines.reports import screen

DAY = "2026-11-16"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was opened."""
    found: list[str] = []
    monkeypatch.setattr(webbrowser, "open", found.append)
    return found


@pytest.mark.parametrize(
    ("platform", "terminal", "variables", "there"),
    [
        ("linux", True, {"DISPLAY": ":0"}, True),
        ("linux", True, {"WAYLAND_DISPLAY": "wayland-0"}, True),
        ("linux", True, {}, False),
        ("linux", False, {"DISPLAY": ":0"}, False),
        ("linux", True, {"DISPLAY": "localhost:10.0", "SSH_CONNECTION": "a 1 b 22"}, False),
        ("win32", True, {}, True),
        ("darwin", True, {}, True),
        ("darwin", False, {}, False),
    ],
)
def test_a_screen_is_a_terminal_beside_a_display(
    platform: str,
    terminal: bool,
    variables: dict[str, str],
    there: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: terminal)
    assert screen.has_screen() is there


@pytest.mark.parametrize(
    ("options", "there", "opens"),
    [
        ((), True, True),
        ((), False, False),
        (("--no-open",), True, False),
        (("--open",), False, True),
    ],
)
def test_a_picture_is_opened_where_there_is_a_screen(
    options: tuple[str, ...],
    there: bool,
    opens: bool,
    filled: str,
    tmp_path: Path,
    opened: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KRT_DATABASE_URL", filled)
    monkeypatch.setattr("pipelines.commands.plot.has_screen", lambda: there)
    file = tmp_path / "my smile.svg"
    assert main(["plot", "smile", "--date", DAY, "--out", str(file), *options]) == 0
    assert opened == ([file.as_uri()] if opens else [])
