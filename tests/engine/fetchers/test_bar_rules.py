"""Which rows of an answer become bars, and what becomes of the others."""

from __future__ import annotations

import re
from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.fetchers.bar_rules import VALUES, Fields, Rules, SplitRows, split_rows
from engine.fetchers.base import BarRequest
from engine.fetchers.derivatives import DerivativeBarFetcher
from engine.fetchers.stock import StockBarFetcher
from engine.kis import codec
from engine.kis.answer import Answer
from engine.market import sessions
from engine.market.sessions import Market, Session
from engine.schemas import conform
from tests.engine.kis.stub_kis import StubKis, fine, open_client
from tests.paths import REAL_DATA, require

DAY = date(2026, 11, 20)
NOW = datetime(2026, 11, 20, 10, 5, 2)
FIELDS = DerivativeBarFetcher.fields


def session(market: Market = Market.DERIVATIVES, day: date = DAY) -> Session:
    found = sessions.session(market, day)
    assert found is not None
    return found


def row(label: str, price: float = 350.0, **changed: Any) -> dict[str, Any]:
    text = f"{price:.2f}"
    usual = {
        "stck_bsop_date": "20261120",
        "stck_cntg_hour": label.replace(":", "") + "00",
        "futs_oprc": text,
        "futs_hgpr": text,
        "futs_lwpr": text,
        "futs_prpr": text,
        "cntg_vol": "5",
    }
    return {**usual, **changed}


def rows(count: int = 20, first: str = "10:04", price: float = 350.0) -> list[dict[str, Any]]:
    """Return rows of consecutive minutes, newest first."""
    newest = datetime.strptime(first, "%H:%M")
    return [row(f"{newest - timedelta(minutes=n):%H:%M}", price) for n in range(count)]


def split(answer: list[Any], **rules: Any) -> SplitRows:
    texts = codec.columns(answer, FIELDS.names())
    return split_rows(texts, FIELDS, Rules(**({"session": session(), "as_of": NOW} | rules)))


def reasons(answer: list[Any], **rules: Any) -> dict[int, str]:
    """Return the number of each rejected row with its reason."""
    rejected = split(answer, **rules).rejected
    return dict(rejected.select(codec.ROW, codec.REASON).iter_rows()) if len(rejected) else {}


def labels(answer: list[Any], **rules: Any) -> list[str]:
    return [f"{label:%H:%M}" for label in split(answer, **rules).bars["label"]]


@pytest.mark.parametrize("odd", ["", "-", " ", "nan", "inf", "１.0", "1e5", "1,000", None, [], {}])
@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("futs_oprc", "open"),
        ("futs_hgpr", "high"),
        ("futs_lwpr", "low"),
        ("futs_prpr", "close"),
        ("cntg_vol", "volume"),
    ],
)
def test_a_value_that_cannot_be_read_rejects_its_row(odd: object, field: str, name: str) -> None:
    answer = rows(5)
    answer[2][field] = odd
    assert reasons(answer) == {2: f"{name} cannot be read"}
    assert len(labels(answer)) == 4


@pytest.mark.parametrize("field", ["stck_bsop_date", "stck_cntg_hour", "futs_hgpr", "cntg_vol"])
def test_a_missing_field_rejects_its_row(field: str) -> None:
    answer = rows(5)
    del answer[2][field]
    assert list(reasons(answer)) == [2]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"stck_bsop_date": "2026-11-20"}, "date cannot be read"),
        ({"stck_bsop_date": "20261121"}, "another date"),
        ({"stck_cntg_hour": "10:01"}, "time cannot be read"),
        ({"stck_cntg_hour": "100130"}, "not a full minute"),
        ({"stck_cntg_hour": "084400"}, "outside the session"),
        ({"futs_oprc": "0.00"}, "price not above zero"),
        ({"futs_lwpr": "-350.00"}, "price not above zero"),
        ({"futs_hgpr": "349.95"}, "open, high, low, close differ"),
        ({"futs_lwpr": "350.05"}, "open, high, low, close differ"),
        ({"futs_prpr": "351.00"}, "open, high, low, close differ"),
        ({"cntg_vol": "-1"}, "volume below zero"),
    ],
)
def test_a_row_that_is_not_a_bar_is_rejected_with_the_reason(changed, reason: str) -> None:
    answer = rows(5)
    answer[3] |= changed
    assert reasons(answer) == {3: reason}


@pytest.mark.parametrize(
    ("label", "ok"),
    [
        ("08:44", False),
        ("08:45", True),
        ("15:34", True),
        ("15:35", False),
        ("15:44", False),
        ("15:45", True),
        ("15:46", False),
        ("16:30", False),
    ],
)
def test_only_rows_with_a_label_of_the_session_are_bars(label: str, ok: bool) -> None:
    assert bool(labels([row(label)], as_of=NOW + timedelta(days=1))) is ok


def test_an_unfinished_minute_is_neither_a_bar_nor_rejected() -> None:
    answer = rows(5, first="10:07")  # 10:05 is running, 10:06 and 10:07 are filled forward
    assert labels(answer) == ["10:04", "10:03"]
    assert reasons(answer) == {}


def test_a_minute_is_finished_only_if_it_was_when_the_question_was_sent() -> None:
    before, after = datetime(2026, 11, 20, 10, 4, 59, 999999), datetime(2026, 11, 20, 10, 5)
    assert labels([row("10:04")], as_of=before) == []
    assert labels([row("10:04")], as_of=after) == ["10:04"]


def test_a_row_of_another_date_is_rejected_at_any_hour() -> None:
    answer = [row("15:45", stck_bsop_date="20261118"), row("09:00", stck_bsop_date="20261118")]
    assert set(reasons(answer).values()) == {"another date"}


def test_rows_of_the_session_before_at_the_end_of_a_page_are_counted_and_not_rejected() -> None:
    answer = [*rows(3), *(row("15:45", stck_bsop_date="20261118") for _ in range(7))]
    assert reasons(answer) == {}
    assert split(answer).counts["of the session before"] == 7


def test_a_row_that_is_repeated_is_one_bar() -> None:
    answer = rows(5)
    answer[2:2] = [answer[2]] * 6
    assert labels(answer) == ["10:04", "10:03", "10:02", "10:01", "10:00"]
    assert reasons(answer) == {}


def test_of_two_rows_of_a_minute_the_first_counts_and_the_other_is_rejected() -> None:
    answer = rows(5)
    answer.insert(3, answer[2] | {"cntg_vol": "9"})
    assert labels(answer) == ["10:04", "10:03", "10:02", "10:01", "10:00"]
    assert split(answer).bars["volume"].to_list() == [5] * 5
    assert reasons(answer) == {3: "another row of the same minute"}


APART = "far from the rows around it: a bar once KIS gives it again"
FAR = 1.05  # how many times the price around it a bar may be


@pytest.mark.parametrize("factor", [1 / 3, 0.9, 1.1, 3])
@pytest.mark.parametrize("index", [0, 1, 10, 19])
def test_a_row_far_from_the_rows_around_it_waits_for_a_second_answer(
    factor: float, index: int
) -> None:
    answer = rows(20)
    answer[index] = row(answer[index]["stck_cntg_hour"][:4], 350 * factor)
    first = split(answer, max_price_ratio=FAR)
    assert reasons(answer, max_price_ratio=FAR) == {index: APART}
    given = first.waiting.select(VALUES)
    assert reasons(answer, max_price_ratio=FAR, given=given) == {}
    again = split(answer, max_price_ratio=FAR, given=given)
    assert again.bars[codec.ROW].to_list() == list(range(20))
    assert again.confirmed[codec.ROW].to_list() == [index]


def test_an_outlier_beside_the_true_row_of_its_minute_leaves_the_true_one() -> None:
    answer = rows(20)
    answer.insert(10, row(answer[10]["stck_cntg_hour"][:4], 1050))
    assert reasons(answer, max_price_ratio=FAR) == {10: APART}
    assert len(labels(answer, max_price_ratio=FAR)) == 20
    assert split(answer, max_price_ratio=FAR).waiting.is_empty()


def test_t1_the_two_first_rows_of_a_day_that_differ_wildly_are_both_stored() -> None:
    """T1. The median of two rows lies between them: both stood apart, and both were thrown away."""
    answer = [row("10:04", 1050), row("10:03", 350)]
    given = split(answer, max_price_ratio=FAR).waiting.select(VALUES)
    assert labels(answer, max_price_ratio=FAR, given=given) == ["10:04", "10:03"]


def test_a_market_that_jumps_and_stays_is_not_rejected() -> None:
    answer = [*rows(10, price=420), *rows(10, first="09:54", price=350)]  # it jumped and stayed
    assert reasons(answer, max_price_ratio=FAR) == {}


def test_a_bar_with_a_long_wick_is_not_rejected() -> None:
    answer = rows(20)
    answer[5] |= {"futs_hgpr": "400.00", "futs_lwpr": "320.00"}
    assert reasons(answer, max_price_ratio=FAR) == {}


def test_a_night_has_its_own_labels_past_midnight() -> None:
    night = session(Market.NIGHT)
    hours = ("30:00", "29:59", "29:49", "24:00", "23:59", "18:00", "17:59")
    answer = [row(hour) for hour in hours]  # 05:50-06:00 is the wait for the auction
    found = split(answer, session=night, as_of=datetime(2026, 11, 22))
    assert found.bars["label"].to_list() == [
        datetime(2026, 11, 21, 6),
        datetime(2026, 11, 21, 5, 49),
        datetime(2026, 11, 21),
        datetime(2026, 11, 20, 23, 59),
        datetime(2026, 11, 20, 18),
    ]


ANY_VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.text(max_size=8)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["100400", "20261120", "350.00", "0", "-1", "１００", "nan", "084500"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)
NEARLY = st.fixed_dictionaries(dict.fromkeys(FIELDS.names(), ANY_VALUE))
GOOD = st.builds(lambda n: row(f"{9 + n // 60:02d}:{n % 60:02d}"), st.integers(0, 70))
PARTS = st.dictionaries(st.sampled_from(FIELDS.names()), ANY_VALUE)
ANY_ROW = ANY_VALUE | PARTS | NEARLY | GOOD


@given(st.lists(ANY_ROW, max_size=12))
def test_any_rows_are_split_without_loss(answer: list[Any]) -> None:
    found = split(answer, max_price_ratio=FAR)
    bars = found.bars
    assert bars["label"].is_unique().all()
    assert bars.drop("turnover").null_count().select(pl.sum_horizontal(pl.all())).item() == 0
    assert (bars["low"] > 0).all()
    assert (bars["volume"] >= 0).all()
    assert (bars["label"] + timedelta(minutes=1) <= NOW).all()
    assert len(bars) + len(found.rejected) <= len(answer)
    if len(found.rejected):
        assert found.rejected[codec.REASON].null_count() == 0
        assert not set(found.rejected[codec.ROW]) & set(bars[codec.ROW])


@given(st.one_of(ANY_VALUE, st.lists(ANY_ROW, max_size=5)), ANY_VALUE)
async def test_any_answer_becomes_a_batch(output2: Any, output1: Any) -> None:
    class Client:
        secrets = list

    for fetcher in (DerivativeBarFetcher(Client()), StockBarFetcher(Client())):  # type: ignore[arg-type]
        body = {"rt_cd": "0", "output1": output1, "output2": output2}
        answer = Answer("TR", "A01612", body, NOW, NOW)
        frame = fetcher.read(answer, session())
        batch = conform(frame, fetcher.schema)
        assert batch.schema == fetcher.schema
        for kept in fetcher.take_rejected()["raw"].to_pylist():
            assert orjson.loads(kept) in output2


async def test_rejected_rows_come_once_with_source_and_reason(kis: StubKis, tmp_path: Path) -> None:
    odd = row("10:03", cntg_vol="-", extra="x")
    kis.answer = lambda _asked: fine(output1={}, output2=[row("10:04"), odd])
    async with open_client(kis, tmp_path) as client:
        fetcher = DerivativeBarFetcher(client)
        await fetcher.fetch(BarRequest("A01612", session()))
    (kept,) = fetcher.take_rejected().to_pylist()
    assert orjson.loads(kept.pop("raw")) == odd
    assert kept == {
        "received_at": kis.clock.now(),
        "tr_id": "FHKIF03020200",
        "symbol": "A01612",
        "reason": "volume cannot be read",
    }
    assert fetcher.take_rejected().num_rows == 0
    assert fetcher.counts == Counter(
        {"rows": 2, "bars": 1, "volume cannot be read": 1, "of the session before": 0}
    )


async def test_an_answer_that_ignores_the_hour_does_not_page_for_ever(kis, tmp_path) -> None:
    kis.answer = lambda _asked: fine(output1={}, output2=rows(20))
    async with open_client(kis, tmp_path) as client:
        batch = await DerivativeBarFetcher(client).fetch(
            BarRequest("A01612", session(), whole_day=True)
        )
    assert batch.num_rows == 20
    assert len(kis.asked) == 2


def beyond_8_percent() -> list[dict[str, Any]]:
    """Return rows of a fall: the newest three stand beyond the limit that KIS names, 322 to 378."""
    return [
        row(label, price) for label, price in (("10:04", 315), ("10:03", 318), ("10:02", 321))
    ] + rows(20, first="10:01", price=325)


LIMITS = {"futs_llam": "322.00", "futs_mxpr": "378.00"}


async def test_t1_bars_beyond_the_limit_that_kis_names_are_bars_at_once(
    kis: StubKis, tmp_path: Path
) -> None:
    """T1. KRX widens its limits during the day; futs_llam and futs_mxpr show the first ones."""
    kis.answer = lambda _asked: fine(output1=LIMITS, output2=beyond_8_percent())
    async with open_client(kis, tmp_path) as client:
        fetcher = DerivativeBarFetcher(client)
        batch = await fetcher.fetch(BarRequest("A01612", session()))
    assert batch.num_rows == 23
    assert fetcher.take_rejected().num_rows == 0
    assert len(kis.asked) == 1


async def test_t1_a_fund_beyond_30_percent_is_stored_at_once(kis: StubKis, tmp_path: Path) -> None:
    """T1. Funds with double leverage may move 60 % a day, and a new listing may quadruple."""
    text = {f"stck_{name}": "15800" for name in ("oprc", "hgpr", "lwpr", "prpr")}
    day = {"stck_bsop_date": "20261120", "cntg_vol": "5"}
    newest = {**day, **text, "stck_cntg_hour": "100400"}
    others = [
        {**day, **dict.fromkeys(text, "10000"), "stck_cntg_hour": f"{10 - n // 4:02d}{n:02d}00"}
        for n in range(3, -1, -1)
    ]
    kis.answer = lambda _asked: fine(output1={"stck_prdy_clpr": "10000"}, output2=[newest, *others])
    async with open_client(kis, tmp_path) as client:
        fetcher = StockBarFetcher(client)
        batch = await fetcher.fetch(BarRequest("122630", session(Market.STOCKS)))
    assert batch["close"].to_pylist() == [10_000.0] * 4 + [15_800.0]


def with_phantom(price: float, label: str = "10:04") -> list[dict[str, Any]]:
    return [
        row(label, price) if r["stck_cntg_hour"][:4] == label.replace(":", "") else r
        for r in rows(20)
    ]


async def test_t1_a_live_poll_stores_an_odd_bar_when_the_next_poll_has_it_again(
    kis: StubKis, tmp_path: Path
) -> None:
    """T1. Whatever KIS gives twice for its minute is a bar."""
    kis.answer = lambda _asked: fine(output1={}, output2=with_phantom(700.0))
    async with open_client(kis, tmp_path) as client:
        fetcher = DerivativeBarFetcher(client)
        poll = BarRequest("A01612", session())
        first = await fetcher.fetch(poll)
        kept = fetcher.take_rejected().to_pylist()
        second = await fetcher.fetch(poll)
        third = await fetcher.fetch(poll)
    assert (first.num_rows, second.num_rows, third.num_rows) == (19, 20, 20)
    assert [row["reason"] for row in kept] == [APART]
    assert second["close"].to_pylist()[-1] == 700.0
    assert fetcher.take_rejected().num_rows == 0
    (confirmed,) = fetcher.take_confirmed().to_pylist()
    assert confirmed["timestamp"] == datetime(2026, 11, 20, 10, 5)
    assert (confirmed["symbol"], confirmed["close"], confirmed["volume"]) == ("A01612", 700.0, 5)


async def test_t1_a_phantom_that_the_second_answer_takes_back_is_never_a_bar(
    kis: StubKis, tmp_path: Path
) -> None:
    answers = [with_phantom(700.0), rows(20), with_phantom(700.0)]
    kis.answer = lambda _asked: fine(output1={}, output2=answers[len(kis.asked) - 1])
    async with open_client(kis, tmp_path) as client:
        fetcher = DerivativeBarFetcher(client)
        poll = BarRequest("A01612", session())
        batches = [await fetcher.fetch(poll) for _ in answers]
    assert [batch.num_rows for batch in batches] == [19, 20, 19]
    assert {price for batch in batches for price in batch["close"].to_pylist()} == {350.0}
    assert fetcher.take_confirmed().num_rows == 0


async def test_t1_a_request_of_the_history_asks_twice_for_an_odd_bar(
    kis: StubKis, tmp_path: Path
) -> None:
    """T1. A command has no next poll: it asks for the page once more."""
    kis.answer = lambda _asked: fine(output1={}, output2=with_phantom(700.0, "09:55"))
    until = datetime(2026, 11, 20, 10, 5)
    async with open_client(kis, tmp_path) as client:
        fetcher = DerivativeBarFetcher(client)
        batch = await fetcher.fetch(BarRequest("A01612", session(), until=until))
    assert len(kis.asked) == 2
    assert batch.num_rows == 20
    assert fetcher.take_confirmed().num_rows == 1


POSSIBLE = st.lists(
    st.tuples(st.integers(1, 10**7), st.integers(1, 10**7), st.integers(0, 10**6)),
    min_size=1,
    max_size=40,
)


@given(POSSIBLE)
def test_t1_nothing_possible_that_kis_gives_twice_is_left_out(bars) -> None:
    """T1. Any prices in any order: what could be a bar is one at the second giving."""

    class Client:
        secrets = list

    newest = datetime(2026, 11, 20, 10, 4)
    answer = [
        row(
            f"{newest - timedelta(minutes=n):%H:%M}",
            low / 100,
            futs_hgpr=f"{max(low, high) / 100:.2f}",
            futs_lwpr=f"{min(low, high) / 100:.2f}",
            cntg_vol=str(volume),
        )
        for n, (low, high, volume) in enumerate(bars)
    ]
    body = {"rt_cd": "0", "output1": LIMITS, "output2": answer}
    fetcher = DerivativeBarFetcher(Client())  # type: ignore[arg-type]
    for _ in range(2):
        frame = fetcher.read(Answer("TR", "A01612", body, NOW, NOW), session())
    assert frame["close"].to_list() == [low / 100 for low, _, _ in bars]


def real(name: str) -> pl.DataFrame:
    return pl.read_parquet(require(REAL_DATA / name))


def as_kis_writes(bars: pl.DataFrame, fields: Fields) -> pl.DataFrame:
    names = ("open", "high", "low", "close", "volume")
    return bars.select(
        pl.col("timestamp").dt.strftime("%Y%m%d").alias(fields.day),
        pl.col("timestamp").dt.strftime("%H%M%S").alias(fields.hour),
        *(pl.col(name).cast(pl.String).alias(getattr(fields, name)) for name in names),
        pl.lit("").alias(fields.turnover),
    ).with_row_index(codec.ROW)


@pytest.mark.parametrize(
    ("name", "fetcher", "market"),
    [
        ("k200_futures_1min.parquet", DerivativeBarFetcher, Market.DERIVATIVES),
        ("krx_stocks_1min.parquet", StockBarFetcher, Market.STOCKS),
    ],
)
def test_no_real_bar_is_rejected_as_an_outlier(name: str, fetcher: Any, market: Market) -> None:
    frame, fields = real(name), fetcher.fields
    (ratio,) = set(fetcher.max_price_ratio.values())
    days = frame.with_columns(pl.col("timestamp").dt.date().alias("day"))
    found: Counter[str] = Counter()
    for (_, day), part in days.sort("timestamp", descending=True).group_by("symbol", "day"):
        texts = as_kis_writes(part, fields)
        rules = Rules(session(market, day), datetime(2030, 1, 1), max_price_ratio=ratio)
        result = split_rows(texts, fields, rules)
        found.update(result.counts)
        found.update(result.rejected[codec.REASON].to_list() if len(result.rejected) else [])
    assert found["bars"] > 0.98 * len(frame)
    # A fund without a trade has prices of zero; some rows are in the wait for the auction.
    assert not {r for r in found if not re.match("rows|bars|of the|price not|outside", r)}


def test_the_after_market_leaves_the_rows_of_the_regular_session_to_the_other_table():
    """KRX's answers hold both; the minutes between the two belong to neither, and are kept."""
    after = session(Market.AFTER)
    labels = ["16:02", "16:00", "15:50", "15:30", "15:19", "09:00"]
    found = split([row(label) for label in labels], session=after, as_of=after.sealed_at)
    stamps = found.bars.sort("label")["label"].dt.strftime("%H:%M").to_list()
    assert stamps == ["16:00", "16:02"]
    assert found.rejected.select("label", "reason").rows() == [
        (datetime(2026, 11, 20, 15, 50), "outside the session")
    ]
    assert found.counts["of the session before"] == 3
    assert found.goes_back
    assert found.in_order

    none_yet = split([row(label) for label in labels[3:]], session=after, as_of=after.opens)
    assert none_yet.bars.is_empty()
    assert none_yet.rejected.is_empty()


def test_what_kis_has_in_a_break_of_a_venue_is_a_bar():
    whole = session(Market.NXT)
    found = split(
        [row("20:00"), row("15:25"), row("08:55"), row("07:59")],
        session=whole,
        as_of=whole.sealed_at,
    )
    assert found.bars["label"].dt.strftime("%H:%M").to_list() == ["15:25", "08:55"]
    assert found.rejected.height == 2
