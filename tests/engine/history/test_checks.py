"""Each check finds the damage that it is made for, at the damaged bar, and nothing else."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

from engine.columns import PRICES
from engine.errors import InputError
from engine.history.checks import RELATIONS, all_checks, read_check, run_checks
from engine.market.expected import expected_sessions, expected_stamps, with_grids
from engine.market.symbols import Stock, parse, parse_derivative
from engine.market.trading_days import trading_days
from tests.paths import REAL_DATA, require

SYMBOL = "101W12"
DAYS = [date(2025, 9, 15), date(2025, 9, 16)]
NOON = datetime(2025, 9, 16, 12, 0)
CHECKS = all_checks()
Frames = dict[str, pl.DataFrame]


def history(symbol: str = SYMBOL, tick: float = 0.05, level: float = 400.0) -> Frames:
    """Return two whole days of bars around a price level, on ticks."""
    wanted = expected_sessions([symbol], *DAYS)
    stamps = expected_stamps(wanted)
    wave = ((pl.col("index_in_session") * 7919 % 5) - 2) * tick
    bars = stamps.select(
        "symbol",
        "session",
        timestamp="stamp",
        open=level + wave,
        close=level - wave,
        high=level + wave.abs() + tick,
        low=level - wave.abs() - tick,
        volume=pl.col("index_in_session") + 9,
        context=False,
        confirmed=False,
    ).with_columns(pl.col(PRICES).round(2))
    return relations(bars, wanted)


def relations(bars: pl.DataFrame, wanted: pl.DataFrame) -> Frames:
    days = trading_days(bars["session"].min() - timedelta(14), bars["session"].max())
    codes = [
        (code, "stocks", 1.0, None)
        if isinstance(parse(code), Stock)
        else (code, "derivatives", 0.05, parse_derivative(code).last_day)
        for code in bars["symbol"].unique()
    ]
    targets, grids = with_grids(wanted)
    return {
        "targets": targets,
        "grids": grids,
        "bars": bars.select(list(RELATIONS["bars"])),
        "instruments": pl.DataFrame(codes, RELATIONS["instruments"], orient="row"),
        "trading_days": pl.DataFrame({"session": days, "number": range(len(days))}),
    }


def found(frames: Frames) -> list[tuple[str, str, str, int]]:
    findings = run_checks(CHECKS, frames)
    clock = pl.col("first_stamp", "last_stamp").dt.strftime("%d %H:%M:%S")
    return sorted(findings.select("check", clock, "bars").rows())


def changed(frames: Frames, where: pl.Expr, **columns: pl.Expr | float | datetime) -> Frames:
    new = [
        pl.when(where).then(value).otherwise(name).alias(name) for name, value in columns.items()
    ]
    return frames | {"bars": frames["bars"].with_columns(new)}


AT_NOON = pl.col("timestamp") == NOON
ONE = ("16 12:00:00", "16 12:00:00", 1)


def test_nothing_is_found_in_a_whole_history() -> None:
    assert found(history()) == []


def test_missing_bars_are_runs_of_exact_stamps() -> None:
    gone = pl.col("timestamp").is_between(NOON, NOON + timedelta(minutes=4))
    auction = pl.col("timestamp").dt.time() == time(15, 45)
    frames = history()
    frames["bars"] = frames["bars"].filter(~gone & ~auction)
    assert found(frames) == [
        ("missing", "15 15:45:00", "15 15:45:00", 1),
        ("missing", "16 12:00:00", "16 12:04:00", 5),
        ("missing", "16 15:45:00", "16 15:45:00", 1),
    ]


def test_a_stamp_that_the_ledger_explains_is_not_missing() -> None:
    frames = history()
    frames["bars"] = frames["bars"].filter(~AT_NOON)
    excused = pl.DataFrame([(SYMBOL, DAYS[1], NOON)], RELATIONS["excused"], orient="row")
    assert found(frames | {"excused": excused}) == []


def test_a_doubled_bar_does_not_hide_a_missing_one() -> None:
    """Counting rows (411 a day) would find nothing."""
    frames = history()
    bars = frames["bars"]
    twice = bars.filter(AT_NOON)
    bars = bars.filter(pl.col("timestamp") != NOON - timedelta(minutes=1))
    frames["bars"] = pl.concat([bars, twice])
    assert frames["bars"].height == 822
    assert found(frames) == [
        ("doubled", "16 12:00:00", "16 12:00:00", 2),
        ("missing", "16 11:59:00", "16 11:59:00", 1),
    ]


def test_trades_that_are_missing_are_stretches_less_than_a_minute_apart() -> None:
    opens, ends = (datetime(2025, 9, 16, *at) for at in ((8, 45), (15, 45)))
    at = [NOON + timedelta(seconds=s) for s in (0, 7, 67, 70, 140, 150, 160)]
    rows = [
        (None, opens + timedelta(seconds=3), 9, False),  # before the first trade
        (at[0], at[1], 5, False),
        (at[2], at[3], 30, False),  # a minute later: the same stretch
        (at[4], at[5], 4, False),  # more than that later
        (at[5], at[6], -3, False),
        (ends - timedelta(minutes=10), None, 70_000, False),  # after the last
    ]
    columns = ["after", "before", "missing", "bars_agree"]
    missing = pl.DataFrame(
        rows, {name: RELATIONS["missing_trades"][name] for name in columns}, orient="row"
    ).with_columns(
        symbol=pl.lit(SYMBOL), session=pl.lit(DAYS[1]), opens=pl.lit(opens), ends=pl.lit(ends)
    )
    findings = run_checks(CHECKS, history() | {"missing_trades": missing})
    assert findings["check"].to_list() == ["trades"] * 5
    assert findings["bars"].to_list() == [1, 2, 1, 1, 11]
    assert findings["detail"].to_list() == [
        "between 08:45:00 and 08:45:03 a volume of 9 is missing among the trades",
        "between 12:00:00 and 12:01:10 a volume of 35 is missing among the trades",
        "between 12:02:20 and 12:02:30 a volume of 4 is missing among the trades",
        "between 12:02:30 and 12:02:40 trades are larger by 3 than the volume grew",
        "between 15:35:00 and 15:45:00 a volume of 70,000 is missing among the trades",
    ]
    agreeing = missing.with_columns(bars_agree=True).filter(pl.col("missing") == 9)
    (agree,) = run_checks(CHECKS, history() | {"missing_trades": agreeing})["detail"]
    uncounted = "KIS counts a volume of 9 that neither trades nor bars have"
    assert agree == f"between 08:45:00 and 08:45:03 {uncounted}"


@pytest.mark.parametrize("by", [timedelta(seconds=30), timedelta(hours=12), timedelta(hours=-5)])
def test_a_bar_at_a_time_at_which_none_is_expected(by: timedelta) -> None:
    frames = changed(history(), AT_NOON, timestamp=NOON + by)
    moment = f"{NOON + by:%d %H:%M:%S}"
    frames["bars"] = frames["bars"].with_columns(session=pl.col("timestamp").dt.date())
    assert found(frames) == [("missing", *ONE), ("unexpected", moment, moment, 1)]


def test_a_bar_of_an_expired_contract() -> None:
    frames = history()
    dead = frames["bars"].filter(AT_NOON).with_columns(symbol=pl.lit("101W09"))
    bars = pl.concat([frames["bars"], dead])
    found_now = found(relations(bars, frames["targets"]))
    assert found_now == [("dead_contract", *ONE)]


@pytest.mark.parametrize(
    "columns",
    [
        {"high": pl.col("low") - 0.05},
        {"low": pl.col("high") + 0.05},
        {"close": pl.col("high") + 0.05},
        {"open": float("nan")},
        {"low": 0.0},
        {"close": pl.lit(None, pl.Float64)},
        {"high": float("inf")},
    ],
)
def test_prices_that_contradict_each_other(columns: dict[str, pl.Expr]) -> None:
    checks = {check for check, *_ in found(changed(history(), AT_NOON, **columns))}
    assert "ohlc" in checks
    assert checks <= {"ohlc", "limit", "jump", "tick"}  # infinity violates those, too


def test_a_negative_volume() -> None:
    assert found(changed(history(), AT_NOON, volume=-1)) == [("volume", *ONE)]


def test_a_price_between_two_ticks() -> None:
    frames = changed(history(), AT_NOON, high=pl.col("high") + 0.01)
    assert found(frames) == [("tick", *ONE)]


def test_stocks_trade_between_ticks_but_not_between_won() -> None:
    stock = history("005930", tick=25.0, level=70_000.0)
    assert found(stock) == []
    assert found(changed(stock, AT_NOON, high=pl.col("high") + 0.5)) == [("tick", *ONE)]


def test_a_price_beyond_the_limit_is_a_jump_too() -> None:
    frames = changed(history(), AT_NOON, high=500.0)
    assert found(frames) == [("jump", *ONE), ("limit", *ONE)]


def test_a_whole_day_beyond_the_limit_has_another_base_price() -> None:
    """A corporate action: all prices are a quarter of what they were."""
    stock = history("005930", tick=20.0, level=40_000.0)
    second = pl.col("session") == DAYS[1]
    assert found(changed(stock, second, **{p: pl.col(p) / 4 for p in PRICES})) == []


def test_a_jump_that_comes_back_is_found_and_one_that_stays_is_not() -> None:
    up = {price: pl.col(price) + 6.0 for price in PRICES}
    assert found(changed(history(), AT_NOON, **up)) == [("jump", *ONE)]
    assert found(changed(history(), pl.col("timestamp") >= NOON, **up)) == []


def test_two_wrong_bars_in_a_row_are_both_found() -> None:
    both = pl.col("timestamp").is_between(NOON, NOON + timedelta(minutes=1))
    frames = changed(history(), both, **{price: pl.col(price) - 8.0 for price in PRICES})
    assert [row[:2] for row in found(frames)] == [
        ("jump", "16 12:00:00"),
        ("jump", "16 12:01:00"),
    ]


def along(path: list[float]) -> Frames:
    """Return a history whose bars, from noon on, go from one level of the path to the next."""
    frames = history()
    number = (pl.col("timestamp") - NOON).dt.total_minutes()
    start, end = (
        number.replace_strict(dict(enumerate(levels)), default=1.0, return_dtype=pl.Float64)
        for levels in (path[:-1], path[1:])
    )
    return changed(
        frames,
        pl.lit(value=True),
        open=pl.col("open") * start,
        close=pl.col("close") * end,
        high=pl.col("high") * pl.max_horizontal(start, end),
        low=pl.col("low") * pl.min_horizontal(start, end),
    )


JUMP = [check for check in CHECKS if check.name == "jump"]


@pytest.mark.parametrize(
    "path",
    [
        [1.0, 0.99, 0.97, 0.945, 0.92, 0.94, 0.96, 0.98, 1.0],  # down to the limit and back
        [1.0, 0.92, 1.0],  # the same within two minutes
        [1.0, 0.96, 0.92, *[0.92] * 9, 0.94, 0.92, *[0.92] * 5, 0.89, 0.92, 0.95, 1.0],  # widened
        [1.0, 1.05, 1.08, 1.08, 1.08, 1.12, 1.08, 1.08, 1.04, 1.0],
    ],
)
def test_a_market_that_runs_to_its_limit_and_back_is_no_jump(path: list[float]) -> None:
    """Nine warnings on five real bars, each where a limit was reached or widened."""
    assert run_checks(JUMP, along(path)).is_empty()


def test_a_halt_at_the_limit_is_no_jump_and_a_wrong_bar_of_that_day_is_one() -> None:
    """The bars after a halt open elsewhere: there is no way from one to the next."""
    frames = along([1.0, 0.97, *[0.92] * 12, 0.97, 1.0])
    minute = (pl.col("timestamp") - NOON).dt.total_minutes()
    lower = {price: pl.col(price) * 0.96 for price in PRICES}
    assert run_checks(JUMP, changed(frames, minute == 6, **lower)).is_empty()
    wrong = changed(frames, minute == 60, **lower)
    assert run_checks(JUMP, wrong)["first_stamp"].to_list() == [NOON + timedelta(minutes=60)]


@pytest.mark.parametrize(
    ("columns", "factor"),
    [
        (["high"], 1.025),
        (["low"], 0.975),
        (["open", "high"], 1.025),
        (["low", "close"], 0.975),
        (list(PRICES), 1.025),
        (list(PRICES), 0.975),
    ],
)
def test_a_bar_of_which_any_price_stands_alone_still_is_a_jump(
    columns: list[str], factor: float
) -> None:
    frames = changed(history(), AT_NOON, **{name: pl.col(name) * factor for name in columns})
    assert run_checks(JUMP, frames)["first_stamp"].to_list() == [NOON]


def test_a_source_that_repeats_the_same_bar() -> None:
    frames = history()
    stuck = pl.col("timestamp").is_between(NOON, NOON + timedelta(minutes=3))
    first = frames["bars"].filter(AT_NOON).row(0, named=True)
    values = {name: pl.lit(first[name]) for name in (*PRICES, "volume")}
    assert found(changed(frames, stuck, **values)) == [
        ("frozen", "16 12:01:00", "16 12:03:00", 3),
    ]


def test_a_bar_that_kis_confirmed_is_not_found() -> None:
    up = {price: pl.col(price) + 6.0 for price in PRICES}
    frames = changed(history(), AT_NOON, confirmed=pl.lit(value=True), **up)
    assert found(frames) == []


def test_bars_of_the_context_are_not_found() -> None:
    frames = changed(history(), AT_NOON, volume=-1)
    context = pl.col("session") == DAYS[1]
    frames["bars"] = frames["bars"].with_columns(context=context)
    frames["targets"] = frames["targets"].filter(pl.col("session") == DAYS[0])
    assert found(frames) == []


@settings(max_examples=25, deadline=None)
@given(st.sets(st.integers(0, 821), max_size=60), st.sets(st.integers(0, 821), max_size=20))
def test_exactly_the_removed_and_the_doubled_stamps_are_found(
    gone: set[int], twice: set[int]
) -> None:
    frames = history()
    bars = frames["bars"].with_row_index("at")
    kept = bars.filter(~pl.col("at").is_in(sorted(gone)))
    frames["bars"] = pl.concat([kept, kept.filter(pl.col("at").is_in(sorted(twice)))])
    findings = run_checks([c for c in CHECKS if c.name in ("missing", "doubled")], frames)
    missing = findings.filter(pl.col("check") == "missing")
    stamps = (
        expected_stamps(frames["targets"])
        .join(missing, on=["symbol", "session"])
        .filter(pl.col("stamp").is_between("first_stamp", "last_stamp"))
    )
    assert set(stamps["stamp"]) == set(bars.filter(pl.col("at").is_in(sorted(gone)))["timestamp"])
    assert missing["bars"].sum() == len(gone)
    assert findings.height - missing.height == len(twice - gone)


def test_the_checks_and_their_sentences(snapshot: SnapshotAssertion) -> None:
    assert [(c.name, c.severity, c.says, c.fix) for c in CHECKS] == snapshot


def test_a_new_check_is_one_file() -> None:
    text = (
        "-- severity: warning\n-- says: there should be no bars on Tuesdays\n-- fix: nothing\n"
        "SELECT symbol, session, min(timestamp) AS first_stamp, max(timestamp) AS last_stamp,"
        " count(*) AS bars, 'a Tuesday' AS detail FROM bars WHERE dayofweek(session) = 2"
        " GROUP BY ALL"
    )
    findings = run_checks([read_check("tuesdays", text)], history())
    assert findings.select("check", "severity", "bars").rows() == [("tuesdays", "warning", 411)]


@pytest.mark.parametrize(
    "head", ["", "-- severity: error\n-- says: x", "-- severity: grave\n-- says: x\n-- fix: fetch"]
)
def test_a_check_without_its_header_is_refused(head: str) -> None:
    with pytest.raises(InputError, match="must begin with"):
        read_check("mine", f"{head}\nSELECT 1")


@pytest.mark.parametrize("name", ["k200_futures_1min", "krx_stocks_1min"])
def test_no_check_finds_anything_in_real_bars(name: str) -> None:
    """The thresholds were chosen with these. Only KIS could explain what stocks lack."""
    bars = pl.read_parquet(require(REAL_DATA / f"{name}.parquet")).filter(
        pl.col("symbol") != "500029"
    )
    bars = bars.with_columns(session=pl.col("timestamp").dt.date())
    wanted = bars.select("symbol", "session").unique()
    stamps = expected_stamps(wanted)
    ends = stamps.group_by("symbol", "session").agg(pl.col("stamp").max().alias("last"))
    label = pl.col("timestamp")
    auction = (label == pl.col("last")) & (label.dt.time() != time(15, 20))
    stamped = bars.join(ends, on=["symbol", "session"]).with_columns(
        timestamp=pl.when(auction).then(label).otherwise(label.dt.offset_by("1m")),
        context=False,
        confirmed=False,
    )
    due = stamps.select("symbol", "session", timestamp="stamp")
    stored = stamped.join(due, on=due.columns, how="semi").unique(["symbol", "timestamp"])
    front, expired = pl.col("symbol") == "A01_FRONT", pl.col("session") > date(2025, 9, 11)
    code = pl.when(front & expired).then(pl.lit("101W12")).when(front).then(pl.lit("101W09"))
    named = [f.with_columns(symbol=code.otherwise("symbol")) for f in (stored, wanted)]
    checks = [c for c in CHECKS if c.name != "missing" or name.startswith("k200")]
    assert run_checks(checks, relations(*named)).is_empty()
