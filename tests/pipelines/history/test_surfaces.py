"""Smiles of stored chains: those of a minute in any order of arrival, and where they lack."""

from __future__ import annotations

import asyncio
from datetime import date, datetime
from itertools import permutations
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from engine import schemas
from engine.clock import Clock, VirtualClock, WallClock
from engine.market.codes import option_code
from engine.market.products import option_series
from engine.store import Store, Writer
from pipelines.chains import chain_surface, chain_with_greeks
from pipelines.day import ingest
from pipelines.day.alerts import Alerts, Contact
from pipelines.day.ingest import Ingestor
from pipelines.day.statistics import DayStatistics
from pipelines.day_plan import plan
from pipelines.feed import Feed
from pipelines.history.derived import complete_snapshots
from pipelines.history.repair import validate_and_fix
from tests.engine.features.conftest import board
from tests.pipelines.simulated import desk

DAY = date(2026, 11, 2)
MATURITIES = {"202611": datetime(2026, 11, 12, 15, 20), "202612": datetime(2026, 12, 10, 15, 20)}
ORDER = (
    f"SELECT {', '.join(schemas.OPTION_SURFACE.names)} FROM option_surface"
    " ORDER BY timestamp, underlying_symbol"
)


def snapshot(maturity: str, minutes: int = 0) -> pl.DataFrame:
    """Return one snapshot of a maturity as it is stored; the later one seems to have less risk."""
    found = board(
        expiry=MATURITIES[maturity],
        symbol=f"{maturity}_KOSPI200",
        volatility=0.4 if maturity == "202611" else 0.15,
    )
    codes = option_series("KOSPI200")
    code = pl.struct("option_type", "strike").map_elements(
        lambda row: option_code(
            codes.call if row["option_type"] == "C" else codes.put, maturity, row["strike"]
        ),
        return_dtype=pl.String(),
    )
    times = ("timestamp", "quoted_at", "price_since", "fetched_at")
    return found.with_columns(
        pl.col(*times).dt.offset_by(f"{minutes}m"),
        symbol=code,
        open_interest=pl.col("open_interest") * (1 + pl.col("option_type").eq("C").cast(pl.Int64)),
    ).select(schemas.OPTION_CHAIN.names)


@pytest.mark.parametrize("order", list(permutations(MATURITIES)), ids=" then ".join)
async def test_the_maturities_of_a_minute_hold_each_other_in_whatever_order_they_come(
    store: Store, database_url: str, tmp_path: Path, order: tuple[str, ...]
) -> None:
    chains = [snapshot(maturity, minute) for minute in (0, 1) for maturity in order]
    writer, ingestor = ready(WallClock(), database_url, tmp_path)
    for chain in chains:
        await take(ingestor, chain)
    await writer.close()
    stored = pl.DataFrame(await store.query(ORDER))
    computed = chain_surface(chain_with_greeks(pl.concat(chains)))
    assert_frame_equal(stored, computed, rel_tol=1e-6)
    figures = "timestamp", "underlying_symbol", "atm_volatility", "gamma_exposure"
    summaries = pl.DataFrame(await store.query("SELECT * FROM option_summary"))
    of_one = pl.col("underlying_symbol") != "all_KOSPI200"
    assert_frame_equal(
        summaries.select(figures).sort(figures[:2]), stored.filter(of_one).select(figures)
    )
    one = stored.filter(pl.col("timestamp") == pl.col("timestamp").min())
    assert one["underlying_symbol"].to_list() == [
        "202611_KOSPI200",
        "202612_KOSPI200",
        "all_KOSPI200",
    ]
    near, far, _ = one["smile_theta"]
    assert far >= near, "alone the later maturity would lie below"
    assert one["maturities"].to_list() == [1, 1, 2]
    assert one["arbitrage"].null_count() == 3


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the maturities of each surface that is computed from now on."""
    found: list[int] = []

    def surface(chain: pl.DataFrame) -> pl.DataFrame:
        found.append(chain["underlying_symbol"].n_unique())
        return chain_surface(chain)

    monkeypatch.setattr(ingest, "chain_surface", surface)
    return found


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ((0, 1), [2]),  # both within the patience: one surface
        ((0, 20), [1, 2]),  # the second is late: nobody waits longer, and it settles the minute
        ((0, None), [1]),  # the second does not come
        ((None, 2), [1]),
    ],
)
async def test_a_minute_has_one_surface_unless_a_chain_is_late(
    store: Store,
    database_url: str,
    tmp_path: Path,
    computed: list[int],
    seconds: tuple[int | None, int | None],
    expected: list[int],
) -> None:
    clock = VirtualClock(datetime(2026, 11, 2, 10, 30))
    writer, ingestor = ready(clock, database_url, tmp_path)
    chains = [snapshot(maturity) for maturity in MATURITIES]

    async def poll(chain: pl.DataFrame, after: int | None) -> None:
        key = chain["timestamp"][0], chain["underlying_symbol"][0]
        ingestor.expect_chain(*key)
        await clock.sleep(5 if after is None else after)
        if after is None:
            ingestor.give_up_chain(*key)
        else:
            await take(ingestor, chain)

    await asyncio.gather(*map(poll, chains, seconds))
    waited = (clock.now() - datetime(2026, 11, 2, 10, 30)).total_seconds()
    await writer.close()
    assert computed == expected
    rows = pl.DataFrame(await store.query("SELECT underlying_symbol FROM option_summary"))
    assert rows.height == sum(after is not None for after in seconds)
    assert waited <= max(5, *(after or 0 for after in seconds))


def ready(clock: Clock, database_url: str, folder: Path) -> tuple[Writer, Ingestor]:
    stats = DayStatistics(plan(Feed(("005930",), ("A01",), ()), DAY), simulated=True)
    writer = Writer(database_url, clock, folder / "spool")
    return writer, Ingestor(writer, clock, stats, Alerts((), clock, Contact()))


async def take(ingestor: Ingestor, chain: pl.DataFrame) -> None:
    found = await ingestor.store_chain(schemas.conform(chain, schemas.OPTION_CHAIN))
    assert found is not None
    await ingestor.store_surface(found)


async def test_a_smile_that_lacks_is_a_finding_and_computed_from_the_stored_chains(
    database_url: str, tmp_path: Path
) -> None:
    async with desk(database_url, tmp_path, datetime(2026, 11, 2, 18)) as at:
        chains = pl.concat(snapshot(maturity, n) for maturity in MATURITIES for n in range(3))
        rows = schemas.conform(chains, schemas.OPTION_CHAIN)
        await at.store.merge("option_chain_raw", rows)
        for symbol in chains["underlying_symbol"].unique():
            assert await complete_snapshots(at.store, symbol, DAY) == 3
        truth = await at.frame(ORDER)
        assert_frame_equal(truth, chain_surface(chain_with_greeks(chains)), rel_tol=1e-6)
        await at.store.execute("DELETE FROM option_surface WHERE timestamp = '2026-11-02 10:32'")
        fixed = await validate_and_fix(at.context, ["202612_KOSPI200"])
        found = fixed.before.findings.filter(pl.col("check") == "surface")
        assert found.select("severity", "bars", "first_stamp").rows() == [
            ("warning", 1, datetime(2026, 11, 2, 10, 32))
        ]
        assert "surface" not in set(fixed.after.findings["check"])
        assert_frame_equal((await at.frame(ORDER)), truth)
