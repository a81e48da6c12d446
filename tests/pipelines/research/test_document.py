"""docs/research.md runs, with every public name; docs/columns.md is what the database says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipelines import research
from tests import columns
from tests.paths import ROOT

TEXT = (ROOT / "docs" / "research.md").read_text("utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
# The day of the tests has no gaps, no book, no trades, no rounds of the whole market (two), and a
# snapshot of options at no minute before a quarter's end.
EMPTY_HERE = 6


def test_the_examples_run_and_show_something(
    reading: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KRT_DATA_FOLDER", str(tmp_path / "data"))
    for example in EXAMPLES:
        exec(compile(example, "docs/research.md", "exec"), {})  # noqa: S102 - our own document
    printed = len(re.findall(r"\bprint\(", "".join(EXAMPLES)))
    rows = [int(found) for found in re.findall(r"shape: \((\d+),", capsys.readouterr().out)]
    assert len(rows) == printed > 30
    assert rows.count(0) == EMPTY_HERE
    written = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert written == {"day.csv", "day.html", "summary.parquet"}


def test_every_public_name_is_explained_and_shown_and_no_other() -> None:
    explained = re.findall(r"^\| `(\w+)[`(]", TEXT, re.MULTILINE)
    assert sorted([*explained, "pl"]) == sorted(research.__all__)
    shown = set(re.findall(r"\w+", "".join(EXAMPLES)))
    assert set(research.__all__) - shown == set()
    names: dict[str, object] = {}
    exec("from pipelines.research import *", names)  # noqa: S102
    assert set(research.__all__) <= set(names)


def test_the_columns_are_those_of_the_database(filled: str) -> None:
    said = columns.document(filled)
    assert columns.DOCUMENT.read_text("utf-8") == said, "write it: uv run python -m tests.columns"
    assert "|  |" not in said  # every column has its meaning
