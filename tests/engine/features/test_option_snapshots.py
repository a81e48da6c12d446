"""Whole chains as a trader would see them: matrices, figures and findings, to be read by eye."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from syrupy.assertion import SnapshotAssertion

from engine.features.forward import PARITY_COLUMNS
from engine.features.matrix import matrix
from engine.features.summary import SMILE_FIGURES
from engine.schemas import METRICS, MODEL_METRICS, level_columns
from tests.engine.features.prepared import chain_flags, ready, summary, with_greeks
from tests.engine.features.printed import render_matrix
from tests.paths import KIS_SAMPLES, needs

Board = Callable[..., pl.DataFrame]
SAMPLE = KIS_SAMPLES / "FHPIF05030100.json"


def seen(chain: pl.DataFrame) -> str:
    """Return all that is computed from a chain, as text."""
    strike, market = pl.col("strike"), pl.col("underlying_price")
    out = pl.when(option_type="C").then(strike > market).otherwise(strike < market)
    open_interest = pl.col("open_interest")  # made-up boards have as many in the money as out of it
    chain = chain.with_columns(
        open_interest=pl.when(out).then(open_interest).otherwise(open_interest // 3)
    )
    cells = matrix(with_greeks(chain)).collect()
    figures = summary(chain).collect().row(0, named=True)
    findings = chain_flags(ready(chain)).collect().select("flag", "rows", "example").rows()
    # The digits of a search beyond the fifth are the processor's.
    digits = {name: 5 if name in (*SMILE_FIGURES, *PARITY_COLUMNS) else 8 for name in figures}
    lines = [
        f"{name:>30}  {value:,.{digits[name]}g}"
        if isinstance(value, float)
        else f"{name:>30}  {value}"
        for name, value in figures.items()
    ]
    return "\n\n".join(
        [
            render_matrix(cells),
            render_matrix(cells, ["price", *MODEL_METRICS]),
            "\n".join(lines),
            "\n".join(f"{flag}: {rows} rows, {example}" for flag, rows, example in findings),
        ]
    )


def hundred_highest(chain: pl.DataFrame) -> pl.DataFrame:
    """Return what KIS's board shows of a chain: the 100 highest strikes of each side."""
    return chain.filter(pl.col("strike").rank("dense", descending=True) <= 100)


WIDE = np.arange(745.0, 1595.1, 2.5)  # what is listed of a monthly in autumn 2026


def test_an_ordinary_board(make_board: Board, snapshot: SnapshotAssertion) -> None:
    assert seen(make_board(strikes=np.arange(745.0, 1395.1, 2.5))) == snapshot


def test_a_board_cut_at_100_rows_has_no_atm(make_board: Board, snapshot: SnapshotAssertion) -> None:
    cut = hundred_highest(make_board(strikes=WIDE))
    assert cut.height == 200
    assert seen(cut) == snapshot


def test_a_board_cut_at_100_rows_and_the_rest_quoted_singly(
    make_board: Board, snapshot: SnapshotAssertion
) -> None:
    """Single quotes have no bid and ask; the chain has a hole between them and the board."""
    full = make_board(strikes=WIDE)
    cut = hundred_highest(full)
    near = full.filter((pl.col("strike") - 1061.3).abs() < 33).with_columns(
        bid=pl.lit(None, pl.Float64), ask=pl.lit(None, pl.Float64)
    )
    assert seen(pl.concat([cut, near])) == snapshot


def test_a_board_after_a_move_of_5_percent(make_board: Board, snapshot: SnapshotAssertion) -> None:
    """KIS's flag still says 1060; volume and open interest are where the market was."""
    moved = make_board(1061.3 * 0.95, center=1061.3, volatility=0.52).with_columns(
        atm_class=pl.when(strike=1060).then(pl.lit("ATM")).otherwise("atm_class")
    )
    assert seen(moved) == snapshot


def test_the_last_morning(make_board: Board, snapshot: SnapshotAssertion) -> None:
    expiring = make_board(moment=datetime(2026, 12, 10, 14, 50), volatility=0.25)
    assert seen(expiring) == snapshot


def test_the_minute_of_expiry(make_board: Board, snapshot: SnapshotAssertion) -> None:
    assert seen(make_board(moment=datetime(2026, 12, 10, 15, 20))) == snapshot


def test_an_illiquid_far_month(make_board: Board, snapshot: SnapshotAssertion) -> None:
    """Steps of 10, most options never traded, some with half a book, some quotes old."""
    board = make_board(
        strikes=np.arange(900.0, 1221.0, 10.0),
        symbol="202706_KOSPI200",
        expiry=datetime(2027, 6, 10, 15, 20),
        source="future:A01703",
        volatility=0.33,
    )
    n = pl.int_range(pl.len())
    quiet = n % 3 != 0
    prices = ("price", "volume", "iv", "delta", "gamma", "vega", "theta", "rho")
    illiquid = board.with_columns(
        pl.when(~quiet).then(pl.col(name)).alias(name) for name in prices
    ).with_columns(
        bid=pl.when(n % 4 != 1).then(pl.col("bid") - 2).otherwise(0.0),
        ask=pl.col("ask") + 2,
        open_interest=pl.when(n % 5 == 0).then("open_interest").otherwise(0),
        quoted_at=pl.when(n % 11 == 3)
        .then(pl.col("quoted_at") - timedelta(minutes=20))
        .otherwise("quoted_at"),
    )
    assert seen(illiquid) == snapshot


@pytest.fixture
def like_the_sample() -> pl.DataFrame:
    """A board of one strike, far above the market, as the official sample is cut."""
    moment = datetime(2026, 11, 2, 10, 31)
    shared = {
        "timestamp": moment,
        "underlying_symbol": "202612_KOSPI200",
        "strike": 1400.0,
        "underlying_price": 1061.3,
        "underlying_source": "index",
        "iv": 0.0,
        "gamma": 0.0,
        "vega": 0.0,
        "historical_volatility": 17.0,
        "quoted_at": moment,
        "fetched_at": moment,
        "expiry": datetime(2026, 12, 10, 15, 20),
        "multiplier": 250_000,
    }
    call = {
        "option_type": "C",
        "symbol": "B01612E00",
        "price": 0.01,
        "bid": 0.0,
        "ask": 0.01,
        "volume": 12,
        "open_interest": 345,
        "iv": 33.5,
        "delta": 0.0,
        "theta": -0.0,
        "rho": 0.0,
    }
    put = {
        "option_type": "P",
        "symbol": "C01612E00",
        "price": 338.2,
        "bid": 280.0,
        "ask": 390.0,
        "volume": 0,
        "open_interest": 21,
        "delta": -1.0,
        "theta": 0.077,
        "rho": -1.45,
    }
    return pl.DataFrame([shared | call, shared | put])


def test_a_board_like_the_official_sample(
    like_the_sample: pl.DataFrame, snapshot: SnapshotAssertion
) -> None:
    assert seen(like_the_sample) == snapshot


@needs(SAMPLE)
def test_the_official_sample_itself_has_no_atm(like_the_sample: pl.DataFrame) -> None:
    """One strike, far from the market: the matrix is empty and a flag says why."""
    fields = {
        "strike": "acpr",
        "price": "optn_prpr",
        "bid": "optn_bidp",
        "ask": "optn_askp",
        "volume": "acml_vol",
        "open_interest": "hts_otst_stpl_qty",
        "iv": "hts_ints_vltl",
        "delta": "delta_val",
        "gamma": "gama",
        "vega": "vega",
        "theta": "theta",
        "rho": "rho",
    }
    answer = json.loads(SAMPLE.read_text(encoding="utf-8"))
    rows = [
        {name: float(row[field]) for name, field in fields.items()}
        | {"symbol": row["optn_shrn_iscd"], "option_type": side}
        for side, row in (("C", answer["output1"][0]), ("P", answer["output2"][0]))
    ]
    chain = (
        pl.DataFrame(rows)
        .with_columns(
            timestamp=datetime(2024, 4, 12, 15, 0),
            expiry=datetime(2024, 5, 9, 15, 20),
            underlying_symbol=pl.lit("202405_KOSPI200"),
            underlying_price=367.2,
            underlying_source=pl.lit("index"),
        )
        .cast({"volume": pl.Int64, "open_interest": pl.Int64})
    )
    cells = matrix(ready(chain)).collect()
    assert cells.height == len(METRICS)
    assert cells.select(level_columns()).null_count().sum_horizontal().item() == 42 * 9
    assert set(chain_flags(ready(chain)).collect()["flag"]) == {"no_atm"}


def test_several_snapshots_are_printed_as_several_blocks(make_board: Board) -> None:
    later = make_board(moment=datetime(2026, 11, 2, 10, 32))
    cells = matrix(ready(pl.concat([make_board(), later]))).collect()
    blocks = render_matrix(cells, ["iv"]).split("\n\n")
    assert [block.splitlines()[0][-5:] for block in blocks] == ["10:31", "10:32"]
    assert all(len(block.splitlines()) == 2 + 21 for block in blocks)
