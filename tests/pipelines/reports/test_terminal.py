"""Text from outside is printed and shown as text, never as markup or a control character."""

from __future__ import annotations

import html
import io
import json
import re
from datetime import datetime

import polars as pl
import pytest
from hypothesis import given
from rich.table import Table
from rich.text import Text

from pipelines.commands.main import _refuse
from pipelines.console import PlainConsole
from pipelines.reports.dashboard import cards
from pipelines.reports.terminal import print_frame, print_json
from pipelines.texts import Texts
from tests.engine.test_text import ACTING, acts, any_text, sent_text
from tests.paths import ROOT


@given(any_text)
def test_a_table_of_any_texts_does_not_act(text: str) -> None:
    file = io.StringIO()
    frame = pl.DataFrame({"text": [text.encode("utf-8", "replace").decode()]})
    print_frame(frame, "table", title=text, file=file)
    assert not acts(file.getvalue().replace("\n", ""))


@given(any_text)
def test_the_console_prints_any_text_as_a_text(text: str) -> None:
    console = PlainConsole(file=io.StringIO(), width=10_000)
    table = Table(title=text)
    table.add_column(text)
    table.add_row(text)
    for what in (text, table):
        console.print(what)
    assert not acts(console.file.getvalue().replace("\n", ""))


def test_markup_of_others_stays_a_text() -> None:
    console = PlainConsole(file=io.StringIO(), width=200)
    for text in ("[link=x]005930[/link]", "[red]1", "[/] :smile: \x1b[31m"):
        console.print(text)
        print_frame(pl.DataFrame({"a": [text]}), "table", file=console.file)
    printed = console.file.getvalue()
    assert printed.count("[link=x]005930[/link]") == 2
    assert printed.count("[/] :smile: \\x1b[31m") == 2
    assert printed.count("[red]1") == 2


def test_colours_of_our_own_reach_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    console = PlainConsole(file=io.StringIO())
    console.print(Text("\x1b[31m", "red"))
    assert console.file.getvalue() == "\x1b[31m\\x1b[31m\x1b[0m\n"


def test_everything_is_printed_by_that_console() -> None:
    for path in (ROOT / "pipelines").rglob("*.py"):
        text = path.read_text("utf-8")
        assert not re.search(r"(?<!\w)Console\(", text), path
        assert "[/]" not in text, f"{path}: markup is not read, use rich's Text"


@given(any_text)
def test_a_refusal_is_one_line_that_does_not_act(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stderr", file := io.StringIO())
        assert _refuse(text) == 2
    assert file.getvalue().endswith("\n")
    assert not acts(file.getvalue()[:-1])


class Screen(io.StringIO):
    """Standard output that is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_csv_is_escaped_for_eyes_and_exact_for_programs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frame = pl.DataFrame({"message": ACTING})
    for output in (Screen(), io.StringIO()):
        monkeypatch.setattr("sys.stdout", output)
        print_frame(frame, "csv")
        print_json(json.dumps(ACTING, ensure_ascii=False))
        csv, _, line = output.getvalue()[:-1].rpartition("\n")
        assert json.loads(line) == ACTING
        assert not acts(line)
        if output.isatty():
            assert not acts(csv.replace("\n", ""))
        else:
            assert pl.read_csv(io.StringIO(csv))["message"].to_list() == ACTING


@given(sent_text)
def test_the_page_shows_any_text_and_no_element_of_others(text: str) -> None:
    table = cards.table(Texts("ko"), text, [text, text], [text], [[cards.cell(text)]])
    page = cards.card(text, text, text, name=text) + cards.section(text, table, text)
    elements = {element.strip("/") for element in re.findall(r"<(/?\w+)", page)}
    assert elements == {
        *("div", "b", "span", "small", "section", "h2"),
        *("table", "thead", "tbody", "tr", "th", "td"),
    }
    assert html.unescape(re.sub(r"<[^>]*>", "", page)).count(text) >= (8 if text else 1)


MONEY = pl.DataFrame(
    {
        "entered": [datetime(2026, 11, 26, 8, 51)],
        "symbol": ["A01612"],
        "entry": [1_074.4],
        "net": [-2_631_250.0],
        "why": ["band_cross_up and a reason that goes on for longer than any line has room"],
    }
)


def printed(frame: pl.DataFrame, width: int, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    file = io.StringIO()
    print_frame(frame, "table", "trades", file=file)
    return re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue())


@pytest.mark.parametrize("width", [30, 40, 60, 80, 120, 300])
def test_no_number_and_no_time_is_cut_at_any_width(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = printed(MONEY, width, monkeypatch)
    assert "1074.4" in text
    assert "-2631250.0" in text
    assert "2026-11-26 08:51:00" in text
    assert max(map(len, text.splitlines())) <= width


def test_a_narrow_terminal_has_one_line_for_each_column(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = printed(MONEY, 60, monkeypatch).splitlines()
    names = [line.split()[0] for line in lines if not line.startswith(" ")]
    assert names == ["trades", "row", "entered", "symbol", "entry", "net", "why"]
    assert len(printed(MONEY, 120, monkeypatch).splitlines()) < len(lines)


def test_a_pipe_is_as_wide_as_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    wide = pl.DataFrame({f"column_{n}": [f"{'x' * 30}{n}"] for n in range(40)})
    print_frame(wide, "table")
    out = capsys.readouterr().out
    assert all(f"{'x' * 30}{n} " in out for n in range(40))
