"""The side of each trade, if known: whether the buyer came to the ask or the seller to the bid.

For stocks KIS tells it. For derivatives the sums of bought and sold contracts of the day do: the
trade is of the side whose sum grew by its size; with an auction's trade neither grows. If the trade
before is not known, a price at the ask or at the bid tells it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from engine.kis.stream.gather import NULL, Wholes
from engine.kis.stream.records import Columns, Mask, Names

Sums = dict[str, tuple[int, int, int, int]]  # symbol: session, cumulative volume, bought, sold
SIDES = (None, "B", "S")
_SUMS = ("session", "day_volume", "day_bought", "day_sold")
_STATED = {1: 1, 5: 2}  # KIS's number of a stock's side: ours


def sides(
    trades: Columns, names: Names, before: Mapping[str, tuple[int, int, int, int]]
) -> tuple[npt.NDArray[np.int64], Sums]:
    """Return the side of each trade as its place in SIDES, and each symbol's sums after its last.

    `before` are the sums that the call before returned.
    """
    if not len(trades["symbol"]):
        return np.empty(0, np.int64), dict(before)
    order = np.argsort(trades["symbol"], kind="stable")
    symbol = trades["symbol"][order]
    firsts = np.concatenate([[0], np.flatnonzero(symbol[1:] != symbol[:-1]) + 1])
    now = {name: trades[name][order] for name in (*_SUMS, "size")}
    last = {name: np.concatenate([[NULL], now[name][:-1]]) for name in _SUMS}
    codes = [str(names.texts[number]) for number in symbol[firsts]]
    for place, code in zip(firsts.tolist(), codes, strict=True):
        for name, value in zip(_SUMS, before.get(code, (NULL,) * 4), strict=True):
            last[name][place] = value
    bought, sold = _by_growth(now, last)
    found = np.empty(len(order), np.int64)
    known = _is_before_known(now, last)
    found[order] = np.where(bought, 1, np.where(sold, 2, np.where(known, 0, -1)))
    found = np.where(found < 0, _by_price(trades), found)
    ends = np.append(firsts[1:], len(order)) - 1
    values = zip(*(now[name][ends].tolist() for name in _SUMS), strict=True)
    return _with_stated(found, trades), {**before, **dict(zip(codes, values, strict=True))}


def _is_before_known(now: Columns, last: Columns) -> Mask:
    """Say for which trades the sums before are known.

    They are the session's first, or nothing was traded between them and the trade before.
    """
    known = (now["day_bought"] != NULL) & (now["day_sold"] != NULL)
    same = last["session"] == now["session"]
    first = ~same & (now["day_volume"] == now["size"])
    follows = same & (now["day_volume"] - last["day_volume"] == now["size"])
    return np.asarray(known & (first | follows))


def _by_growth(now: Columns, last: Columns) -> tuple[Mask, Mask]:
    same = last["session"] == now["session"]
    grown = [
        now[name] - np.where(same & (last[name] != NULL), last[name], 0)
        for name in ("day_bought", "day_sold")
    ]
    by_buyers, by_sellers = ((one == now["size"]) & (two == 0) for one, two in (grown, grown[::-1]))
    known = _is_before_known(now, last)
    return known & by_buyers, known & by_sellers


def _by_price(trades: Columns) -> Wholes:
    price, bid, ask = trades["price"], trades["bid"], trades["ask"]
    return np.where(bid < ask, np.where(price == ask, 1, np.where(price == bid, 2, 0)), 0)


def _with_stated(found: Wholes, trades: Columns) -> Wholes:
    stated = trades["aggressor"]
    if (stated == NULL).all():
        return found
    told = np.zeros(len(stated), np.int64)
    for theirs, ours in _STATED.items():
        told[stated == theirs] = ours
    return np.where(stated == NULL, found, told)
