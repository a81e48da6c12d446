"""What KIS says of a symbol's day beside the rows: `output1` of bars and quotes.

Prices are those of the last finished bar, which is what the chain is computed from, too.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import NamedTuple

from engine.market import instruments
from engine.market.sessions import Market
from engine.simulator.exchange import Desk
from engine.simulator.kis_format import change, price_text
from engine.simulator.market.listing import future_name
from engine.simulator.market.price_levels import stock_profile
from engine.simulator.session_rows import Sheet

LIMIT = 0.08  # of the close before: the first of KRX's three price limits
OPEN_INTEREST = 1.4  # of the volume of the day before
Day = dict[str, float]  # open, high, low, close, volume, turnover


class Standing(NamedTuple):
    """How a symbol stands: last price, its day so far (empty before the open), the day before."""

    price: float
    today: Day
    before: Day


def standing(desk: Desk, symbol: str, market: Market, now: datetime) -> Standing | None:
    """Return how the symbol stands, None if nothing is known of it."""
    today = _so_far(desk.today(symbol, market, now), now)
    before = _so_far(desk.last_before(symbol, market, now.date()), now)
    known = today or before
    return Standing(known["close"], today, before or today) if known else None


def _so_far(sheet: Sheet | None, now: datetime) -> Day:
    place = sheet.last(now) if sheet else -1
    return sheet.so_far.row(place, named=True) if sheet and place >= 0 else {}


def stock_summary(desk: Desk, symbol: str, now: datetime) -> dict[str, str]:
    """Return output1 of the stock bars."""
    known = standing(desk, symbol, Market.STOCKS, now)
    if known is None:
        return {}
    move, sign, share = change(known.price, known.before["close"], 0)
    return {
        "prdy_vrss": move,
        "prdy_vrss_sign": sign,
        "prdy_ctrt": share,
        "stck_prdy_clpr": price_text(known.before["close"], 0),
        "acml_vol": str(int(known.today.get("volume", 0))),
        "acml_tr_pbmn": str(int(known.today.get("turnover", 0))),
        "hts_kor_isnm": stock_profile(symbol)[0],
        "stck_prpr": price_text(known.price, 0),
    }


def future_summary(desk: Desk, symbol: str, market: Market, now: datetime) -> dict[str, str]:
    """Return output1 of the futures and option bars."""
    known = standing(desk, symbol, market, now)
    if known is None:
        return {}
    common, before = _common(desk, symbol, known, now.date()), known.before
    tick = instruments.tick_size(symbol, known.price)
    return {
        **{
            name: common[name]
            for name in ("futs_prdy_vrss", "prdy_vrss_sign", "futs_prdy_ctrt", "futs_prdy_clpr")
        },
        "prdy_nmix": common["futs_prdy_clpr"],
        **{
            name: common[name] for name in ("acml_vol", "acml_tr_pbmn", "hts_kor_isnm", "futs_prpr")
        },
        "futs_shrn_iscd": symbol,
        "prdy_vol": str(int(before["volume"])),
        **{
            name: common[name]
            for name in ("futs_mxpr", "futs_llam", "futs_oprc", "futs_hgpr", "futs_lwpr")
        },
        "futs_prdy_oprc": f"{before['open']:.2f}",
        "futs_prdy_hgpr": f"{before['high']:.2f}",
        "futs_prdy_lwpr": f"{before['low']:.2f}",
        "futs_askp": f"{known.price + tick:.2f}",
        "futs_bidp": f"{max(known.price - tick, 0):.2f}",
        "basis": common["basis"],
        "kospi200_nmix": f"{_index(desk, symbol, known.price, now.date()):.2f}",
        "hts_otst_stpl_qty": common["hts_otst_stpl_qty"],
        "otst_stpl_qty_icdc": "0",
        "tday_rltv": "100.00",
        "hts_thpr": common["hts_thpr"],
        "dprt": "0.00",
    }


QUOTE_FIELDS = (
    "hts_kor_isnm",
    "futs_prpr",
    "futs_prdy_vrss",
    "prdy_vrss_sign",
    "futs_prdy_clpr",
    "futs_prdy_ctrt",
    "acml_vol",
    "acml_tr_pbmn",
    "hts_otst_stpl_qty",
    "otst_stpl_qty_icdc",
    "futs_oprc",
    "futs_hgpr",
    "futs_lwpr",
    "futs_mxpr",
    "futs_llam",
    "basis",
    "futs_sdpr",
    "hts_thpr",
    "dprt",
    "crbr_aply_mxpr",
    "crbr_aply_llam",
    "futs_last_tr_date",
    "hts_rmnn_dynu",
    "futs_lstn_medm_hgpr",
    "futs_lstn_medm_lwpr",
    "delta_val",
    "gama",
    "theta",
    "vega",
    "rho",
    "mrkt_basis",
)


def future_quote(desk: Desk, symbol: str, now: datetime) -> dict[str, str]:
    """Return a future's quote in the fields of FHMIF10000000; empty if nothing is known of it."""
    known = standing(desk, symbol, Market.DERIVATIVES, now)
    if known is None:
        return {}
    values = _common(desk, symbol, known, now.date()) | {
        "delta_val": "1.0000",
        **dict.fromkeys(("gama", "theta", "vega", "rho"), "0.0000"),
    }
    return {name: values.get(name, "0.00") for name in QUOTE_FIELDS}


def _index(desk: Desk, symbol: str, price: float, day: date) -> float:
    return price / desk.carry_of(symbol, day)


def _common(desk: Desk, symbol: str, known: Standing, day: date) -> dict[str, str]:
    """Return what bars and quotes say alike."""
    contract, before = instruments.contract(symbol), known.before["close"]
    move, sign, share = change(known.price, before, 2)
    basis = f"{known.price - _index(desk, symbol, known.price, day):.2f}"
    today = {name: f"{known.today.get(name, 0.0):.2f}" for name in ("open", "high", "low")}
    return {
        "hts_kor_isnm": future_name(symbol) if contract.product.kind == "future" else symbol,
        "futs_prpr": price_text(known.price, 2),
        "futs_prdy_vrss": move,
        "prdy_vrss_sign": sign,
        "futs_prdy_clpr": price_text(before, 2),
        "futs_prdy_ctrt": share,
        "acml_vol": str(int(known.today.get("volume", 0))),
        "acml_tr_pbmn": str(int(known.today.get("turnover", 0))),
        "hts_otst_stpl_qty": str(int(known.before["volume"] * OPEN_INTEREST)),
        "otst_stpl_qty_icdc": "0",
        "futs_oprc": today["open"],
        "futs_hgpr": today["high"],
        "futs_lwpr": today["low"],
        "futs_mxpr": f"{before * (1 + LIMIT):.2f}",
        "futs_llam": f"{before * (1 - LIMIT):.2f}",
        "basis": basis,
        "mrkt_basis": basis,
        "futs_sdpr": price_text(before, 2),
        "hts_thpr": price_text(known.price, 2),
        "futs_last_tr_date": f"{contract.last_day:%Y%m%d}",
        "hts_rmnn_dynu": str((contract.last_day - day).days + 1),
    }
