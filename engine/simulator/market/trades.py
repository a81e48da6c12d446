"""Bars taken apart into trades that add up to exactly these bars.

The first trade of a bar has its open, the last its close, one each touches high and low, and the
sizes sum to its volume. Between those the price walks on ticks. What the trades are depends only on
symbol, session and minute: a bar has the same trades whichever other bars the session has.

No trades can give some bars: two contracts cannot be traded at four prices. Such a bar has no
trades here, but its volume counts in the sums of the day, so a client of the feed sees that
something is missing and asks by REST. A bar of volume 0 has no trades and is not a bar.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine.columns import PRICES
from engine.market.products import Ticks
from engine.market.sessions import Session
from engine.market.symbols import Option
from engine.simulator.market.data import instrument
from engine.simulator.market.dice import Floats, Ints, uniforms
from engine.simulator.market.ticks import next_price, on_ticks, previous_price

Bools = NDArray[np.bool_]

MOST_TRADES = 120  # a minute; real futures have up to some thousand
OPTION_TRADES = 30  # the same for an option: a feed may carry dozens of options
MOST_MOMENTS = 40  # of a minute at which something trades: an order often meets several others
OPTION_MOMENTS = 10
LOT = 2  # contracts or shares of an average trade, unless that makes too many trades
MILLISECONDS = 60_000  # of a minute
AUCTION_LASTS = 30_000  # milliseconds within which an auction's price is made
AUCTION_SHARE = 0.2  # of the first minute's volume, roughly: the opening auction's

TRADES = pl.Schema(
    [
        ("label", pl.Datetime("us")),  # of the bar, KIS's time
        ("happened_at", pl.Datetime("us")),  # with milliseconds; KIS shows whole seconds
        ("moment", pl.Int64()),  # number of the moment within the minute: one order's trades
        ("price", pl.Float64()),  # index points; stocks KRW
        ("size", pl.Int64()),  # contracts or shares
        ("side", pl.String()),  # B: the buyer came to the ask, S: the seller to the bid; else null
        ("day_volume", pl.Int64()),  # this trade included, as in all sums
        ("day_turnover", pl.Int64()),  # KRW
        ("day_bought", pl.Int64()),
        ("day_sold", pl.Int64()),
        ("bid", pl.Float64()),  # best, after the trade; 0: none
        ("ask", pl.Float64()),
        ("bid_size", pl.Int64()),
        ("ask_size", pl.Int64()),
    ]
)


class _Bars(NamedTuple):
    """Bars as arrays; `number` is the minute of the session, on which all draws depend."""

    number: Ints
    opened: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Ints
    is_opening: Bools
    is_auction: Bools


class _Rows(NamedTuple):
    """One row for each trade: its bar, its number in the bar from 0, and how many the bar has."""

    bar: Ints
    place: Ints
    total: Ints
    number: Ints  # of the bar's minute

    @property
    def is_last(self) -> Bools:
        return np.asarray(self.place == self.total - 1)


def trades_of_bars(
    symbol: str,
    session: Session,
    bars: pl.DataFrame,
    *,
    most: int = MOST_TRADES,
    moments: int = MOST_MOMENTS,
    seed: int = 0,
) -> pl.DataFrame:
    """Return the trades of a session's bars (BARS of the market, oldest first) in `TRADES`.

    At most `most` a minute (at least 4), at no more than `moments` different moments.
    """
    found = bars.filter(pl.col("volume") > 0)
    if found.is_empty():
        return TRADES.to_frame()
    key = (seed, symbol, session.market.value, session.date)
    ticks = instrument(symbol).ticks
    taken = _arrays(found, session)
    rows = _rows(taken, most)
    price = _prices(taken, rows, ticks, key)
    size = _sizes(taken, rows, key)
    moment, millisecond = _times(taken, rows, moments, key)
    side = _sides(taken, rows, price, key)
    product = instrument(symbol).product
    frame = pl.DataFrame(
        {
            "label": found["label"].gather(rows.bar),
            "millisecond": millisecond,
            "moment": moment,
            "price": price,
            "size": size,
            "side": pl.Series(side).replace_strict({1: "B", -1: "S", 0: None}),
            "turnover": np.rint(price * size * (product.multiplier if product else 1)).astype("i8"),
            **_best_quotes(price, side, ticks, rows, key),
        },
        strict=False,
    )
    unseen = _sums_without_trades(taken, product.multiplier if product else 1)
    return _with_day_sums(frame, rows, unseen)


@dataclass(frozen=True)
class _SessionBars:
    """A session's bars as a key: `digest` stands for them."""

    symbol: str
    session: Session
    digest: int
    bars: pl.DataFrame = field(compare=False)


def turnover_of_bars(symbol: str, session: Session, bars: pl.DataFrame) -> pl.Series:
    """Return the turnover (KRW) of each of a session's bars: the sum of its trades, price × size.

    For a bar that no trades can give it is the volume at the close.
    """
    digest = hash(tuple(column.to_numpy().tobytes() for column in bars))
    return _turnover(_SessionBars(symbol, session, digest, bars))


@lru_cache(maxsize=1024)
def _turnover(wanted: _SessionBars) -> pl.Series:
    symbol, session, bars = wanted.symbol, wanted.session, wanted.bars
    traded = instrument(symbol)
    key = (0, symbol, session.market.value, session.date)
    multiplier = traded.product.multiplier if traded.product else 1
    taken = _arrays(bars, session)
    rows = _rows(taken, OPTION_TRADES if isinstance(traded, Option) else MOST_TRADES)
    paid = np.rint(_prices(taken, rows, traded.ticks, key) * _sizes(taken, rows, key) * multiplier)
    sums = np.bincount(rows.bar, paid, minlength=bars.height).astype("i8")
    _, money = _lost(taken, multiplier)
    return pl.Series("turnover", sums + money)


def bars_without_trades(bars: pl.DataFrame) -> pl.DataFrame:
    """Return the bars that no trades can give: their volume is smaller than the trades needed."""
    opened, high, low, close = (bars[name].to_numpy() for name in PRICES)
    volume = bars["volume"].to_numpy()
    return bars.filter(pl.Series(~_possible(opened, high, low, close, volume) & (volume > 0)))


def _arrays(bars: pl.DataFrame, session: Session) -> _Bars:
    label = bars["label"]
    minute = (label - session.opens).dt.total_minutes().to_numpy()
    return _Bars(
        minute.astype("i8"),
        bars["open"].to_numpy(),
        bars["high"].to_numpy(),
        bars["low"].to_numpy(),
        bars["close"].to_numpy(),
        bars["volume"].to_numpy(),
        (label == session.opens).to_numpy(),
        (label == (session.auction or session.sealed_at)).to_numpy(),
    )


def _fewest(opened: Floats, high: Floats, low: Floats, close: Floats) -> Ints:
    """Return how many trades a bar needs to touch its four prices in their order."""
    beyond = ((high > np.maximum(opened, close)).astype(int)) + (low < np.minimum(opened, close))
    return np.asarray(np.where((opened == close) & (beyond == 0), 1, 2 + beyond), "i8")


def _possible(opened: Floats, high: Floats, low: Floats, close: Floats, volume: Ints) -> Bools:
    inside = (high >= np.maximum(opened, close)) & (low <= np.minimum(opened, close)) & (low > 0)
    return np.asarray(inside & (_fewest(opened, high, low, close) <= volume))


def _rows(bars: _Bars, most: int) -> _Rows:
    prices = (bars.opened, bars.high, bars.low, bars.close)
    fewest = _fewest(*prices)
    usual = np.clip(np.ceil(bars.volume / LOT).astype("i8"), fewest, max(most, 4))
    count = np.where(bars.is_auction, fewest, usual)
    count = np.where(_possible(*prices, bars.volume), count, 0)
    bar = np.repeat(np.arange(count.size), count)
    place = np.arange(bar.size) - np.repeat(np.cumsum(count) - count, count)
    return _Rows(bar, place, count[bar], bars.number[bar])


def _prices(bars: _Bars, rows: _Rows, ticks: Ticks, key: object) -> Floats:
    """Walk from open to close by way of both extremes; the bar's own prices are kept exactly."""
    places, prices = _turning_points(bars, rows, key)
    # The segment between two turning points in which each trade lies.
    segment = sum((rows.place >= place[rows.bar]).astype("i8") for place in places[1:-1])
    ends, values = np.stack(places), np.stack(prices)
    start, end = ends[segment, rows.bar], ends[segment + 1, rows.bar]
    share = (rows.place - start) / np.maximum(end - start, 1)
    first, second = values[segment, rows.bar], values[segment + 1, rows.bar]
    around = uniforms((key, "walk"), rows.number, rows.place) - 0.5
    reach = np.minimum(bars.high - bars.low, 1e9)[rows.bar]
    walked = on_ticks(first + (second - first) * share + 0.4 * reach * around, ticks)
    price = np.clip(walked, bars.low[rows.bar], bars.high[rows.bar])
    for place, value in zip(places, prices, strict=True):
        here = rows.place == place[rows.bar]
        price[here] = value[rows.bar][here]
    return np.asarray(price)


def _turning_points(bars: _Bars, rows: _Rows, key: object) -> tuple[list[Ints], list[Floats]]:
    """Return places and prices of open, first extreme, second extreme and close, per bar.

    An extreme that is the open or the close lies there; else each has a place of its own between.
    """
    count = np.zeros(bars.number.size, "i8")
    count[rows.bar] = rows.total
    last, inner = count - 1, np.maximum(count - 2, 0)
    at_open, at_close = np.zeros_like(last), last
    high_inside = bars.high > np.maximum(bars.opened, bars.close)
    low_inside = bars.low < np.minimum(bars.opened, bars.close)
    both = high_inside & low_inside
    draw_first, draw_second, draw_order = (
        uniforms((key, name), bars.number) for name in ("first", "second", "order")
    )
    # Both inside: the first leaves room for the second. One inside: anywhere between.
    room = np.where(both, np.maximum(inner - 1, 1), np.maximum(inner, 1))
    first = 1 + np.floor(draw_first * room).astype("i8")
    second = first + 1 + np.floor(draw_second * np.maximum(inner - first, 1)).astype("i8")
    high_first = draw_order < np.where(bars.close >= bars.opened, 0.3, 0.7)
    outside_high = np.where(bars.high == bars.opened, at_open, at_close)
    outside_low = np.where(bars.low == bars.opened, at_open, at_close)
    high = np.where(both & ~high_first, second, np.where(high_inside, first, outside_high))
    low = np.where(both & high_first, second, np.where(low_inside, first, outside_low))
    swap = high > low
    places = [at_open, np.where(swap, low, high), np.where(swap, high, low), last]
    prices = [
        bars.opened,
        np.where(swap, bars.low, bars.high),
        np.where(swap, bars.high, bars.low),
        bars.close,
    ]
    return places, prices


def _sizes(bars: _Bars, rows: _Rows, key: object) -> Ints:
    """Divide each bar's volume unevenly among its trades, at least 1 for each."""
    weight = 1e-9 + (-np.log1p(-uniforms((key, "size"), rows.number, rows.place))) ** 1.5
    is_auction_trade = bars.is_opening[rows.bar] & (rows.place == 0)
    weight = np.where(is_auction_trade, AUCTION_SHARE * rows.total, weight)
    so_far = _sum_within_bars(weight, rows)
    total = np.zeros(bars.number.size)
    total[rows.bar[rows.is_last]] = so_far[rows.is_last]
    spare = (bars.volume[rows.bar] - rows.total).astype("f8")
    shared = np.floor(spare * (so_far / total[rows.bar])).astype("i8")
    shared[rows.is_last] = spare[rows.is_last].astype("i8")
    before = np.where(rows.place == 0, 0, np.roll(shared, 1))
    return np.asarray(1 + shared - before)


def _sum_within_bars(values: Floats, rows: _Rows) -> Floats:
    """Return the running sum that begins anew with each bar."""
    if not values.size:
        return values
    table = np.zeros((int(rows.bar.max()) + 1, int(rows.place.max()) + 1))  # a line a bar
    table[rows.bar, rows.place] = values
    return np.asarray(table.cumsum(axis=1)[rows.bar, rows.place])


def _times(bars: _Bars, rows: _Rows, most: int, key: object) -> tuple[Ints, Ints]:
    """Return the moment of each trade, by number and in milliseconds of its minute, ascending."""
    moments = np.minimum(rows.total, most)
    moment = rows.place * moments // np.maximum(rows.total, 1)
    begins = np.append(True, (np.diff(rows.bar) != 0) | (np.diff(moment) != 0))[: rows.bar.size]
    drawn = -np.log1p(-uniforms((key, "time"), rows.number, moment))
    waited = _sum_within_bars(np.where(begins, drawn, 0.0), rows)
    after_last = -np.log1p(-uniforms((key, "rest"), bars.number))
    total = np.zeros(bars.number.size)
    total[rows.bar[rows.is_last]] = waited[rows.is_last]
    length = np.where(bars.is_auction, AUCTION_LASTS, MILLISECONDS)[rows.bar]
    share = waited / (total + after_last)[rows.bar]
    millisecond = np.minimum((share * length).astype("i8"), MILLISECONDS - 1)
    # The opening auction's price is there at once.
    at_once = bars.is_opening[rows.bar] & (moment == 0)
    return moment, np.where(at_once, millisecond % 900, millisecond)


def _sides(bars: _Bars, rows: _Rows, price: Floats, key: object) -> Ints:
    """Return 1 for a trade at the ask, -1 at the bid, 0 in an auction: up is bought, down sold."""
    change = np.where(rows.place == 0, 0.0, np.diff(price, prepend=price[:1]))
    drawn = np.where(uniforms((key, "side"), rows.number, rows.place) < 0.5, 1, -1)
    side = np.where(change > 0, 1, np.where(change < 0, -1, drawn))
    opening = bars.is_opening[rows.bar] & (rows.place == 0)
    return np.asarray(np.where(opening | bars.is_auction[rows.bar], 0, side))


def _best_quotes(
    price: Floats, side: Ints, ticks: Ticks, rows: _Rows, key: object
) -> dict[str, NDArray[np.float64] | Ints]:
    """Return the best quotes after each trade: buyers pay the ask, which is a tick over the bid."""
    at_bid = side < 0
    sizes = {
        name: 1 + np.floor(90 * uniforms((key, name), rows.number, rows.place) ** 2).astype("i8")
        for name in ("bid_size", "ask_size")
    }
    return {
        "bid": np.where(at_bid, price, previous_price(price, ticks)),
        "ask": np.where(at_bid, next_price(price, ticks), price),
        **sizes,
    }


def _sums_without_trades(bars: _Bars, multiplier: int) -> tuple[Ints, Ints]:
    """Return volume and turnover (KRW), up to the start of each bar, of bars without trades."""
    lost, money = _lost(bars, multiplier)
    return np.cumsum(lost) - lost, np.cumsum(money) - money


def _lost(bars: _Bars, multiplier: int) -> tuple[Ints, Ints]:
    """Return volume and turnover (KRW) of each bar that has no trades, 0 for the others."""
    prices = (bars.opened, bars.high, bars.low, bars.close)
    lost = np.where(_possible(*prices, bars.volume), 0, bars.volume)
    money = np.rint(lost * np.nan_to_num(bars.close) * multiplier).astype("i8")
    return lost, money


def _with_day_sums(frame: pl.DataFrame, rows: _Rows, unseen: tuple[Ints, Ints]) -> pl.DataFrame:
    volume, turnover = (pl.Series(sums[rows.bar]) for sums in unseen)
    of_side = {"day_bought": pl.col("side") == "B", "day_sold": pl.col("side") == "S"}
    return frame.with_columns(
        (pl.col("label") + pl.duration(milliseconds="millisecond")).alias("happened_at"),
        day_volume=pl.col("size").cum_sum() + volume,
        day_turnover=pl.col("turnover").cum_sum() + turnover,
        **{
            name: pl.when(mine.fill_null(value=False)).then("size").otherwise(0).cum_sum()
            for name, mine in of_side.items()
        },
    ).select(pl.col(name).cast(dtype) for name, dtype in TRADES.items())
