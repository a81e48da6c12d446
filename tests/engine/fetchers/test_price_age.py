"""A price is as old as the first snapshot of the day that showed it, as far as we have seen."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from engine.fetchers.price_age import PriceAges

MINUTE = datetime(2026, 11, 20, 10, 5)


def snapshot(minute: datetime, *rows: tuple[str, float | None, int | None]) -> pl.DataFrame:
    names = {"symbol": pl.String, "price": pl.Float64, "volume": pl.Int64}
    stamp = pl.lit(minute, pl.Datetime("us")).alias("timestamp")
    chain = pl.lit("202612_KOSPI200").alias("underlying_symbol")
    return pl.DataFrame(list(rows), schema=names, orient="row").with_columns(stamp, chain)


def since(ages: PriceAges, chain: pl.DataFrame, key: str = "a") -> dict[str, datetime | None]:
    return dict(ages.with_price_since(key, chain).select("symbol", "price_since").iter_rows())


def test_a_row_that_is_missing_once_keeps_its_age() -> None:
    ages = PriceAges()
    later = MINUTE + timedelta(minutes=1), MINUTE + timedelta(minutes=2)
    assert since(ages, snapshot(MINUTE, ("x", 1.0, 5), ("y", 2.0, None))) == {
        "x": MINUTE,
        "y": MINUTE,
    }
    assert since(ages, snapshot(later[0], ("y", 2.0, None))) == {"y": MINUTE}
    assert since(ages, snapshot(later[1], ("x", 1.0, 5), ("y", 2.0, 1))) == {
        "x": MINUTE,
        "y": later[1],
    }


def test_no_price_has_no_age_and_does_not_wipe_out_the_one_before() -> None:
    ages = PriceAges()
    since(ages, snapshot(MINUTE, ("x", 1.0, 5)))
    later = MINUTE + timedelta(minutes=1)
    assert since(ages, snapshot(later, ("x", None, 5))) == {"x": None}
    assert since(ages, snapshot(later + timedelta(minutes=1), ("x", 1.0, 5))) == {"x": MINUTE}


def test_chains_and_days_have_ages_of_their_own() -> None:
    ages = PriceAges()
    since(ages, snapshot(MINUTE, ("x", 1.0, 5)))
    tomorrow = MINUTE + timedelta(days=1)
    assert since(ages, snapshot(MINUTE + timedelta(minutes=1), ("x", 1.0, 5)), "b") == {
        "x": MINUTE + timedelta(minutes=1)
    }
    assert since(ages, snapshot(tomorrow, ("x", 1.0, 5))) == {"x": tomorrow}


def test_a_snapshot_keeps_its_order_and_columns_and_may_be_empty() -> None:
    ages = PriceAges()
    chain = snapshot(MINUTE, ("z", 1.0, 5), ("a", 2.0, 1), ("m", 3.0, 0))
    for _ in range(2):
        found = ages.with_price_since("a", chain)
        assert found.drop("price_since").equals(chain)
    assert ages.with_price_since("a", chain.clear()).is_empty()


def test_a_restart_learns_the_ages_from_what_is_stored() -> None:
    """Else an hour-old price would be a fresh one after every restart."""
    before = PriceAges()
    earlier = before.with_price_since("a", snapshot(MINUTE, ("x", 1.0, 5), ("y", 2.0, 1)))
    later = MINUTE + timedelta(minutes=30)
    for snapshots_so_far in (0, 1):  # the database may answer only after the first one
        after = PriceAges()
        for number in range(snapshots_so_far):
            minute = later - timedelta(minutes=1 + number)
            since(after, snapshot(minute, ("x", 1.0, 5), ("y", 2.5, 2)))
        after.recall("a", earlier)
        first_seen = later - timedelta(minutes=snapshots_so_far)
        found = since(after, snapshot(later, ("x", 1.0, 5), ("y", 2.5, 2), ("z", 3.0, 1)))
        assert found == {"x": MINUTE, "y": first_seen, "z": later}
    after.recall("b", earlier.clear())
    assert since(after, snapshot(later, ("x", 1.0, 5)), "b") == {"x": later}
