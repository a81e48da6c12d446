"""docs/research.md: its example runs, and it explains every public name."""

from __future__ import annotations

import re

import pytest

from pipelines import research
from pipelines.reports.environment import READER_URL
from pipelines.research import sources
from tests.paths import ROOT

TEXT = (ROOT / "docs" / "research.md").read_text("utf-8")


def test_the_example_runs(
    filled: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(READER_URL, filled)
    sources.database_url.cache_clear()
    for example in re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE):
        exec(compile(example, "docs/research.md", "exec"), {})  # noqa: S102 - our own document
    sources.database_url.cache_clear()
    frames = capsys.readouterr().out.split("shape: ")[1:]
    rows = [int(re.match(r"\((\d+),", frame)[1]) for frame in frames]
    assert rows == [5, 5, 4, 21, 5]


def test_every_public_name_is_explained_and_no_other() -> None:
    explained = re.findall(r"^\| `(\w+)[`(]", TEXT, re.MULTILINE)
    assert sorted([*explained, "pl"]) == sorted(research.__all__)
    names: dict[str, object] = {}
    exec("from pipelines.research import *", names)  # noqa: S102
    assert set(research.__all__) <= set(names)
