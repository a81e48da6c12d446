"""`just plan` prints what the settings cost, and ends with 1 if something does not fit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.commands.main import main


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KRT_DATA_FOLDER", str(tmp_path))
    monkeypatch.setenv("KRT_CONFIG_FOLDER", str(tmp_path))


def test_a_market_that_is_swept_costs_no_call_in_the_session(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KRT_SWEEP", "all")
    assert main(["plan"]) == 0
    said = capsys.readouterr().out
    assert "the sweep: at most 10,890 calls in 36 minutes" in said
    assert "❌" not in said


def test_what_does_not_fit_makes_it_end_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KRT_SNAPSHOT", "KOSPI,KOSDAQ,ETF")
    monkeypatch.setenv("KRT_CALLS_PER_SECOND", "2")
    assert main(["plan", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["troubles"] == [
        "the snapshot does not fit into each minute: it comes every 2 minutes"
    ]
    (snapshot,) = [part for part in found["parts"] if part["what"] == "snapshot"]
    assert (snapshot["symbols"], snapshot["calls_a_minute"]) == (2_680, 90)
