"""Where the feed cannot be had: the same bars, the same signals, and it is said why."""

from __future__ import annotations

from pathlib import Path

import pytest
from filelock import FileLock

import engine.kis.client
from engine.kis.auth import file_stem
from tests.databases import LONG
from tests.pipelines.day.playing import (
    FEED,
    FUTURE,
    STOCK,
    assert_bars_and_signals_are_right,
    at_time,
    play,
    poll_reasons,
    statuses,
)
from tests.pipelines.simulated import KEY, desk

START = at_time("08:30" if LONG else "15:40")


async def test_an_address_that_is_barred_is_tried_by_the_rule_and_costs_no_bar(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine.kis.client, "stream_address", lambda _: "ws://127.0.0.1:9")
    async with desk(database_url, tmp_path, START) as at:
        played = await play(at, database_url, tmp_path, feed=FEED, stream=True)
        await assert_bars_and_signals_are_right(at)
        assert played.stats.by_feed == {}
        told = poll_reasons(played)
        assert set(told) == {STOCK, FUTURE}
        (why,) = set(told.values())
        assert why.split(" until")[0] in ("no connection: ClientConnectorError", "pauses")
        found = await at.frame("SELECT symbol, reason FROM feed_symbols")
        assert dict(found.iter_rows()) == told
        assert (await statuses(at))["feed"] == "done"
        summary = played.stats.as_json()["feed"]
        assert summary["most_in_ten_minutes"] <= 4
        assert summary["reconnects"] >= 3
        assert "0 of 2 symbols by feed" in summary["says"][0]
        assert why in summary["says"][1]


async def test_while_another_process_has_the_app_key_all_is_polled_and_that_is_said(
    database_url: str, tmp_path: Path
) -> None:
    async with desk(database_url, tmp_path, START) as at:
        stem = file_stem(at.simulator.base_url, KEY)
        (tmp_path / "kis").mkdir(mode=0o700)
        with FileLock(tmp_path / "kis" / f"{stem}-stream.lock"):
            played = await play(at, database_url, tmp_path, feed=FEED, stream=True)
        await assert_bars_and_signals_are_right(at)
        why = "another process has the connection"
        assert poll_reasons(played) == {STOCK: why, FUTURE: why}
        assert at.simulator.stream.counts["connections"] == 0
        assert played.stats.reconnects == 0
