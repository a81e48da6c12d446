"""What `just plan` says of a swept day is what sweeping it comes to: calls, rows, bytes."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from pydantic import SecretStr

from engine.market.expected import expected_sessions
from engine.settings import AppKey, KisSettings
from engine.store import Store
from engine.store.identifiers import identifier
from pipelines.day.budget import SESSIONS_A_YEAR, Budget, Kept, budget_of
from pipelines.day_plan import plan
from pipelines.feed import Feed
from pipelines.history.market_sweep import sweep
from tests.pipelines.history.test_market_sweep import CLOSED, DAY, MARKET, codes
from tests.pipelines.simulated import desk

KIS = KisSettings(
    app_keys=(AppKey(app_key=SecretStr("key"), app_secret=SecretStr("secret")),),
    calls_per_second=15,
)
ROUNDS = 100  # that the closing snapshot is repeated for, so that its table has a size
A_FOURTH = 0.25  # so much may bytes differ from those of a table of 300,000 rows


def a_session(budget: Budget, what: str) -> tuple[float, float]:
    """Return rows of a session and bytes of a row by the plan."""
    part = budget.parts.row(by_predicate=pl.col("what") == what, named=True)
    rows = part["rows_a_year"]
    return rows / SESSIONS_A_YEAR, part["megabytes_a_year"] * 1e6 / rows


async def size(store: Store, table: str) -> tuple[int, int]:
    """Return rows and bytes of a partitioned table, with its indexes."""
    found = await store.query(
        f"SELECT (SELECT count(*) FROM {identifier(table)}) AS rows,"
        " (SELECT sum(pg_total_relation_size(relid))::bigint"
        f" FROM pg_partition_tree('{table}') WHERE isleaf) AS bytes"
    )
    return found["rows"][0].as_py(), found["bytes"][0].as_py()


async def test_a_swept_day_costs_what_the_plan_says(
    empty_database_url: str, tmp_path: Path
) -> None:
    async with desk(empty_database_url, tmp_path, CLOSED, MARKET, calls_per_second=15) as at:
        busy = [code for code in codes(60) if at.served(code, DAY).height == 381][:32]
        costs = budget_of(plan(Feed(sweep=tuple(busy)), DAY), KIS, len(busy), len(busy))
        done = await sweep(at.context, expected_sessions(busy, DAY, DAY), DAY)
        took = at.clock.now() - CLOSED
        bars, bar_bytes = await size(at.store, "stocks_1m")
        (quoted, _) = await size(at.store, "market_snapshot")
        await at.store.execute(
            "INSERT INTO market_snapshot SELECT (jsonb_populate_record(m, jsonb_build_object("
            "'timestamp', timestamp + n * interval '1 minute'))).*"
            f" FROM market_snapshot AS m, generate_series(1, {ROUNDS}) AS n"
        )
        quotes, quote_bytes = await size(at.store, "market_snapshot")
    assert done.calls == costs.sweep_calls == 32 * 4 + 2
    assert abs(took - costs.sweep_takes).total_seconds() < 2
    rows, bytes_a_row = a_session(costs, "stocks swept")
    assert bars == rows
    assert bar_bytes / bars == pytest.approx(bytes_a_row, rel=A_FOURTH)
    rows, bytes_a_row = a_session(costs, "snapshot")
    # A round a minute from 09:01 to 15:31, as those are that are played, and the closing one.
    assert rows == 391 * len(busy) + quoted
    assert quote_bytes / quotes == pytest.approx(bytes_a_row, rel=A_FOURTH)


def test_what_leaves_the_database_after_a_while_has_a_size_at_which_it_stays() -> None:
    day = plan(Feed(("005930",), sweep=("all",), snapshot=("all",)), DAY)
    kept_for_ever = budget_of(day, KIS, 2_700, 2_700)
    some = budget_of(day, KIS, 2_700, 2_700, Kept(snapshot_days=60, bar_months=3))
    assert kept_for_ever.parts["megabytes_kept"].null_count() == 2
    parts = {part["what"]: part for part in some.parts.to_dicts()}
    for what, years in (("snapshot", 60 / 365), ("stocks swept", 4 / 12)):
        part = parts[what]
        assert part["megabytes_kept"] == pytest.approx(part["megabytes_a_year"] * years, abs=1)
    assert some.grows == 0
    assert some.stays == sum(part["megabytes_kept"] for part in parts.values())
    assert kept_for_ever.grows > kept_for_ever.stays > 0
