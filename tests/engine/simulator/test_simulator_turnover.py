"""The turnover of options: board, single quote and feed tell the same money."""

from __future__ import annotations

from datetime import date

import numpy as np
import orjson
import polars as pl
import pytest

from engine.market.products import option_series
from engine.market.sessions import Market, session
from engine.simulator import SyntheticMarket
from engine.simulator.board_text import write_boards, write_quotes
from engine.simulator.exchange import SimulatedExchange
from engine.simulator.market.options import BLOCK
from engine.simulator.market.trades import OPTION_TRADES, trades_of_bars

DAY = date(2026, 11, 20)
SERIES = [("KOSPI200", "202612"), ("MINI_KOSPI200", "202612"), ("KOSPI200_WEEKLY_THU", "261201")]


def counts(texts: list[dict[str, str]], code: str, price: str) -> pl.DataFrame:
    """Return code, price, volume and turnover (KRW) of rows as KIS writes them."""
    return pl.DataFrame(
        {
            "code": [row[code] for row in texts],
            "price": [float(row[price]) for row in texts],
            "volume": [int(row["acml_vol"]) for row in texts],
            "turnover": [int(row["acml_tr_pbmn"]) * 1000 for row in texts],
        }
    )


def board(exchange: SimulatedExchange, series: str, maturity: str, minute: int) -> pl.DataFrame:
    block = write_boards(exchange, series, maturity, DAY, minute // BLOCK)
    answer = orjson.loads(block[minute % BLOCK])
    return counts([*answer["output1"], *answer["output2"]], "optn_shrn_iscd", "optn_prpr")


@pytest.mark.parametrize(("series", "maturity"), SERIES)
def test_what_the_turnover_grows_by_was_paid_for_what_the_volume_grew_by(
    series: str, maturity: str
) -> None:
    """A contract costs its price times the multiplier, of each series its own."""
    exchange = SimulatedExchange(SyntheticMarket(3))
    multiplier = option_series(series).call.multiplier
    before, after = (board(exchange, series, maturity, minute) for minute in (100, 220))
    both = after.join(before, on="code", suffix="_before").filter(
        pl.col("volume") >= pl.col("volume_before") + 20
    )
    assert both.height > 5
    paid = (pl.col("turnover") - pl.col("turnover_before")) / (
        pl.col("volume") - pl.col("volume_before")
    )
    points = both.select(
        paid=paid / multiplier,
        low=pl.min_horizontal("price", "price_before"),
        high=pl.max_horizontal("price", "price_before"),
    )
    assert (points["paid"] > 0.5 * points["low"]).all()
    assert (points["paid"] < 2 * points["high"]).all()


def test_board_quote_and_feed_agree() -> None:
    """Whoever takes the newest of them must not see money come or go."""
    exchange = SimulatedExchange(SyntheticMarket(3))
    found = session(Market.DERIVATIVES, DAY)
    assert found is not None
    minute = 300
    rows = [
        orjson.loads(row)
        for row in write_quotes(exchange, "KOSPI200", "202612", DAY, minute // BLOCK)
    ]
    listed = exchange.options.day("KOSPI200", "202612", DAY).listed
    of_minute = rows[minute % BLOCK * listed.height :][: listed.height]
    told = pl.DataFrame(
        {
            "code": listed["code"],
            "volume": [int(row["acml_vol"]) for row in of_minute],
            "turnover": [int(row["acml_tr_pbmn"]) * 1000 for row in of_minute],
        }
    )
    by_board = board(exchange, "KOSPI200", "202612", minute).join(told, on="code")
    assert by_board["turnover"].equals(by_board["turnover_right"], check_names=False)
    busy = told.sort("volume", descending=True).head(40)
    off = []
    for code, volume, turnover in busy.iter_rows():
        bars = exchange.options.bars(code, found)
        trades = trades_of_bars(code, found, bars, most=OPTION_TRADES)
        so_far = trades.filter(pl.col("label") <= found.opens + pl.duration(minutes=minute)).row(
            -1, named=True
        )
        assert so_far["day_volume"] == volume, code
        off.append(turnover / so_far["day_turnover"] - 1)
    assert np.abs(off).max() < 0.01
