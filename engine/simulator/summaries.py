"""KIS's summary of a symbol's day beside the rows: `output1` of bars and quotes.

Prices are those of the last finished bar, like those that the option chain is computed from.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import NamedTuple

from engine.market.sessions import Market
from engine.market.symbols import Contract, parse_derivative
from engine.simulator.exchange import SimulatedExchange, price_over_index
from engine.simulator.kis_format import change, price_text
from engine.simulator.market.data import draws
from engine.simulator.market.listing import future_name, futures, previous_close
from engine.simulator.market.price_levels import stock_profile
from engine.simulator.market.price_limits import STEPS, price_limits, widened_at

OPEN_INTEREST = 1.4  # after a session, as a multiple of its volume
Day = dict[str, float]  # open, high, low, close, volume, turnover


class SymbolState(NamedTuple):
    """A symbol now: last price, its day so far (empty before the open), and the day before."""

    price: float
    today: Day
    before: Day


def symbol_state(
    exchange: SimulatedExchange, symbol: str, market: Market, now: datetime
) -> SymbolState | None:
    """Return the symbol's state, None if it has not traded."""
    today = exchange.day_so_far(symbol, exchange.session_on(symbol, market, now.date()), now)
    before = exchange.day_before(symbol, market, now)
    newest = today or before
    return SymbolState(newest["close"], today, before or today) if newest else None


def untraded_state(exchange: SimulatedExchange, contract: Contract, day: date) -> SymbolState:
    """Return the state of a listed contract without a trade yet: at its theoretical price."""
    index = previous_close(exchange.market, contract.product.underlying, day)
    price = index * price_over_index(contract.code, day)
    tick = contract.tick_size(price)
    price = round(round(price / tick) * tick, 2)
    before = dict.fromkeys(("open", "high", "low", "volume", "turnover"), 0.0) | {"close": price}
    return SymbolState(price, {}, before)


def stock_summary(
    exchange: SimulatedExchange, symbol: str, market: Market, now: datetime
) -> dict[str, str]:
    """Return output1 of the stock bars."""
    state = symbol_state(exchange, symbol, market, now)
    if state is None:
        return {}
    move, sign, share = change(state.price, state.before["close"], 0)
    return {
        "prdy_vrss": move,
        "prdy_vrss_sign": sign,
        "prdy_ctrt": share,
        "stck_prdy_clpr": price_text(state.before["close"], 0),
        "acml_vol": str(int(state.today.get("volume", 0))),
        "acml_tr_pbmn": str(int(state.today.get("turnover", 0))),
        "hts_kor_isnm": stock_profile(symbol)[0],
        "stck_prpr": price_text(state.price, 0),
    }


def future_summary(
    exchange: SimulatedExchange, symbol: str, market: Market, now: datetime
) -> dict[str, str]:
    """Return output1 of the futures and option bars."""
    state = symbol_state(exchange, symbol, market, now)
    if state is None:
        return {}
    common = _common(symbol, state, now.date())
    before = state.before
    tick = parse_derivative(symbol).tick_size(state.price)
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
        "futs_askp": f"{state.price + tick:.2f}",
        "futs_bidp": f"{max(state.price - tick, 0):.2f}",
        "basis": common["basis"],
        **_index_behind(exchange, symbol, state.price, now.date()),
        "hts_otst_stpl_qty": common["hts_otst_stpl_qty"],
        "otst_stpl_qty_icdc": common["otst_stpl_qty_icdc"],
        "tday_rltv": "100.00",
        "hts_thpr": common["hts_thpr"],
        "dprt": "0.00",
    }


def _index_behind(
    exchange: SimulatedExchange, symbol: str, price: float, day: date
) -> dict[str, str]:
    """Return the index that a future's price implies, and its change."""
    underlying = parse_derivative(symbol).product.underlying
    index = price / price_over_index(symbol, day)
    move, sign, share = change(index, previous_close(exchange.market, underlying, day), 2)
    return {
        "kospi200_nmix": f"{index:.2f}",
        "kospi200_prdy_vrss": move,
        "kospi200_prdy_ctrt": share,
        "kospi200_prdy_vrss_sign": sign,
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


def future_quote(exchange: SimulatedExchange, contract: Contract, now: datetime) -> dict[str, str]:
    """Return a future's quote in the fields of FHMIF10000000; empty if it has not traded."""
    state = symbol_state(exchange, contract.code, Market.DERIVATIVES, now)
    if state is None:
        if contract not in futures(contract.product, now.date()):
            return {}
        state = untraded_state(exchange, contract, now.date())
    values = _common(contract.code, state, now.date()) | _widened_limits(
        exchange, contract, state.before["close"], now
    )
    values |= {
        "delta_val": "1.0000",
        **dict.fromkeys(("gama", "theta", "vega", "rho"), "0.0000"),
    }
    return {name: values.get(name, "0.00") for name in QUOTE_FIELDS}


def night_quote(
    exchange: SimulatedExchange, contract: Contract, evening: date, now: datetime
) -> dict[str, str]:
    """Return a future's quote of a night in the fields of FHMIF10000000; empty without a trade."""
    night, day = (
        exchange.session_on(contract.code, market, evening)
        for market in (Market.NIGHT, Market.DERIVATIVES)
    )
    tonight = exchange.day_so_far(contract.code, night, now)
    before = exchange.day_so_far(contract.code, day, now)
    if not tonight:
        return {}
    state = SymbolState(tonight["close"], tonight, before or tonight)
    values = _common(contract.code, state, evening)
    return {name: values.get(name, "0.00") for name in QUOTE_FIELDS}


def _widened_limits(
    exchange: SimulatedExchange, contract: Contract, base: float, now: datetime
) -> dict[str, str]:
    """Return the limits that hold now if they are wider than the day's first ones; else nothing."""
    today = exchange.today(contract.code, Market.DERIVATIVES, now)
    moments = widened_at(today.bars, base, contract, today.session) if today else []
    step = sum(moment <= now for moment in moments)
    if not step:
        return {}
    limits = price_limits(base, STEPS[step], contract.ticks)
    return {"crbr_aply_mxpr": f"{limits.high:.2f}", "crbr_aply_llam": f"{limits.low:.2f}"}


def interest_at_close(volume: float) -> int:
    """Return the open interest of a future after a session with this volume."""
    return int(volume * OPEN_INTEREST)


def contracts_opened(symbol: str, day: date) -> float:
    """Return what each contract traded on the day adds to open interest (below 0: takes away)."""
    return float(draws(symbol, day, "opened").uniform(-0.1, 0.12))


def _common(symbol: str, state: SymbolState, day: date) -> dict[str, str]:
    """Return the fields that bars and quotes share."""
    found = parse_derivative(symbol)
    before = state.before["close"]
    move, sign, share = change(state.price, before, 2)
    basis = f"{state.price - state.price / price_over_index(symbol, day):.2f}"
    volume = int(state.today.get("volume", 0))
    interest = interest_at_close(state.before["volume"])
    opened = max(-interest, int(volume * contracts_opened(symbol, day)))
    today = {name: f"{state.today.get(name, 0.0):.2f}" for name in ("open", "high", "low")}
    limits = price_limits(before, STEPS[0], found.ticks)  # KIS shows these whatever happens
    return {
        "hts_kor_isnm": future_name(found) if isinstance(found, Contract) else symbol,
        "futs_prpr": price_text(state.price, 2),
        "futs_prdy_vrss": move,
        "prdy_vrss_sign": sign,
        "futs_prdy_clpr": price_text(before, 2),
        "futs_prdy_ctrt": share,
        "acml_vol": str(volume),
        "acml_tr_pbmn": str(int(state.today.get("turnover", 0))),
        "hts_otst_stpl_qty": str(interest + opened),
        "otst_stpl_qty_icdc": str(opened),
        "futs_oprc": today["open"],
        "futs_hgpr": today["high"],
        "futs_lwpr": today["low"],
        "futs_mxpr": f"{limits.high:.2f}",
        "futs_llam": f"{limits.low:.2f}",
        "basis": basis,
        "mrkt_basis": basis,
        "futs_sdpr": price_text(before, 2),
        "hts_thpr": price_text(state.price, 2),
        "futs_last_tr_date": f"{found.last_day:%Y%m%d}",
        "hts_rmnn_dynu": str((found.last_day - day).days + 1),
    }
