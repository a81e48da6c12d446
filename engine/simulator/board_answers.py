"""Option boards and single quotes as KIS answers them: FHPIF05030100/0000/0200, FHMIF10000000."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import lru_cache

import orjson
import polars as pl

from engine import expiries, instruments
from engine.errors import InputError
from engine.sessions import Market, session
from engine.simulator.bar_answers import Query, day_so_far
from engine.simulator.desk import Desk, is_dead, served_session
from engine.simulator.listing import SERIES, future_name, futures, maturities, previous_close
from engine.simulator.sheets import Sheet
from engine.simulator.wire import OK, change, fixed, json_rows

BOARD_LIMIT = 100
SERIES_OF_CLASS = {instruments.option_series(name).market_class: name for name in SERIES}
FUTURES_OF_CLASS = {"": "A01", "MKI": "A05", "KQI": "A06"}
EMPTY_BOARD = orjson.dumps({"output1": [], "output2": [], **OK})


def state_of_day(now: datetime) -> tuple[date, int] | None:
    """Return the session whose quotes stand now and how many of its minutes are over.

    Before the open the quotes are those of the close before.
    """
    day = now.date()
    for _ in range(15):
        of = session(Market.DERIVATIVES, day)
        if of is not None and now >= of.first_stamp:
            minutes = int((min(now, of.last_stamp) - of.opens) / timedelta(minutes=1))
            return day, minutes - 1
        day -= timedelta(days=1)
    return None


class Board:
    """The option board, its quotes and the underlying's."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._written = lru_cache(maxsize=64)(self._write)

    def board(self, _desk: Desk, query: Query, now: datetime) -> bytes:
        """FHPIF05030100: at most 100 calls and 100 puts of a maturity, highest strikes first."""
        series = SERIES_OF_CLASS.get(query["FID_COND_MRKT_CLS_CODE"])
        state = state_of_day(now)
        if series is None or state is None or query["FID_COND_MRKT_DIV_CODE"] != "O":
            return EMPTY_BOARD
        maturity = query["FID_MTRT_CNT"]
        if maturity not in maturities(series, state[0]):
            return EMPTY_BOARD
        return self._written(series, maturity, *state)

    def _write(self, series: str, maturity: str, day: date, minute: int) -> bytes:
        quotes = self._desk.options.at(series, maturity, day, minute)
        calls, puts = (
            json_rows(board_frame(quotes.filter(pl.col("option_type") == side).head(BOARD_LIMIT)))
            for side in ("C", "P")
        )
        return b'{"output1":[%b],"output2":[%b],%b' % (
            b",".join(calls),
            b",".join(puts),
            orjson.dumps(OK)[1:],
        )

    def top(self, desk: Desk, query: Query, now: datetime) -> bytes:
        """FHPIF05030000: the index under a future, and the future."""
        symbol = query["FID_INPUT_ISCD"]
        state = state_of_day(now)
        if query["FID_COND_MRKT_DIV_CODE"] != "F" or not _is_future(symbol, now) or state is None:
            return orjson.dumps({"output1": {}, "output2": [], **OK})
        underlying = instruments.product(symbol).underlying
        price, before = index_quote(desk, underlying, state)
        move, sign, share = change(price, before, 2)
        future = future_quote(desk, symbol, now)
        output1 = {
            "unas_prpr": f"{price:.2f}", "unas_prdy_vrss": move, "unas_prdy_vrss_sign": sign,
            "unas_prdy_ctrt": share, "unas_acml_vol": str(1_000 * (state[1] + 1) * 400),
            "hts_kor_isnm": future_name(symbol), "futs_prpr": future["futs_prpr"],
            "futs_prdy_vrss": future["futs_prdy_vrss"], "prdy_vrss_sign": future["prdy_vrss_sign"],
            "futs_prdy_ctrt": future["futs_prdy_ctrt"],
        }  # fmt: skip
        return orjson.dumps({"output1": output1, "output2": [], **OK})

    def futures(self, desk: Desk, query: Query, now: datetime) -> bytes:
        """FHPIF05030200: all listed futures of a product."""
        prefix = FUTURES_OF_CLASS.get(query["FID_COND_MRKT_CLS_CODE"])
        codes = futures(prefix, now.date()) if prefix else []
        rows = [{"futs_shrn_iscd": code, **_board_row(desk, code, now)} for code in codes]
        return orjson.dumps({"output": rows, **OK})

    def quote(self, desk: Desk, query: Query, now: datetime) -> bytes:
        """FHMIF10000000: one future (F) or option (O), without bid and ask."""
        symbol, state = query["FID_INPUT_ISCD"], state_of_day(now)
        code = query["FID_COND_MRKT_DIV_CODE"]
        output1: dict[str, str] = {}
        if state is not None and code == "F" and _is_future(symbol, now):
            output1 = future_quote(desk, symbol, now)
        elif state is not None and code == "O":
            output1 = option_quote(desk, symbol, state)
        if not output1 or state is None:
            return orjson.dumps({"output1": {}, "output2": {}, "output3": {}, **OK})
        indices = (index_row(desk, code, state) for code in ("0001", "2001"))
        output2, output3 = indices
        return orjson.dumps({"output1": output1, "output2": output2, "output3": output3, **OK})


def _is_future(symbol: str, now: datetime) -> bool:
    try:
        return instruments.product(symbol).kind == "future" and not is_dead(symbol, now)
    except InputError:
        return False


def index_quote(desk: Desk, underlying: str, state: tuple[date, int]) -> tuple[float, float]:
    """Return the index as of a minute and at the close before, index points."""
    of = session(Market.DERIVATIVES, state[0])
    assert of is not None
    price = float(desk.market.index(underlying, of)["close"][state[1]])
    return price, previous_close(desk.market, underlying, state[0])


def index_row(desk: Desk, code: str, state: tuple[date, int]) -> dict[str, str]:
    """Return an index as the quote shows it: 2001 KOSPI 200, 0001 KOSPI (7.4 times that here)."""
    scale, name = (1.0, "KOSPI200") if code == "2001" else (7.4, "종합")
    price, before = (value * scale for value in index_quote(desk, "KOSPI200", state))
    move, sign, share = change(price, before, 2)
    return {
        "bstp_cls_code": code, "hts_kor_isnm": name, "bstp_nmix_prpr": f"{price:.2f}",
        "prdy_vrss_sign": sign, "bstp_nmix_prdy_vrss": move, "bstp_nmix_prdy_ctrt": share,
    }  # fmt: skip


def _sheet_of(desk: Desk, symbol: str, now: datetime) -> Sheet | None:
    return next(desk.sheets(symbol, Market.DERIVATIVES, now.date(), now, fake_ticks=False), None)


def future_quote(desk: Desk, symbol: str, now: datetime) -> dict[str, str]:
    """Return a future's quote in the fields of FHMIF10000000."""
    sheet = _sheet_of(desk, symbol, now)
    of = served_session(symbol, Market.DERIVATIVES, now.date())
    before = desk.previous(symbol, of) if of else None
    so_far = day_so_far(sheet, now) if sheet and of else {}
    earlier = day_so_far(before, now) or so_far
    if not earlier:
        return dict.fromkeys(QUOTE_FIELDS, "")
    close = so_far.get("close", earlier["close"])
    contract = instruments.contract(symbol)
    index = close / desk.carry_of(symbol, now.date())
    move, sign, share = change(close, earlier["close"], 2)
    known = {
        "hts_kor_isnm": future_name(symbol), "futs_prpr": f"{close:.2f}", "futs_prdy_vrss": move,
        "prdy_vrss_sign": sign, "futs_prdy_clpr": f"{earlier['close']:.2f}",
        "futs_prdy_ctrt": share, "acml_vol": str(int(so_far.get("volume", 0))),
        "acml_tr_pbmn": str(int(so_far.get("turnover", 0))),
        "hts_otst_stpl_qty": str(int(earlier["volume"] * 1.4)), "otst_stpl_qty_icdc": "0",
        **{name: f"{so_far.get(key, 0.0):.2f}" for key, name in
           (("open", "futs_oprc"), ("high", "futs_hgpr"), ("low", "futs_lwpr"))},
        "futs_mxpr": f"{earlier['close'] * 1.08:.2f}", "futs_llam": f"{earlier['close'] * 0.92:.2f}",
        "basis": f"{close - index:.2f}", "futs_sdpr": f"{earlier['close']:.2f}",
        "hts_thpr": f"{close:.2f}", "futs_last_tr_date": f"{contract.expiry:%Y%m%d}",
        "hts_rmnn_dynu": str((contract.expiry - now.date()).days + 1), "delta_val": "1.0000",
        "mrkt_basis": f"{close - index:.2f}",
    }  # fmt: skip
    return {name: known.get(name, ZERO.get(name, "0.00")) for name in QUOTE_FIELDS}


QUOTE_FIELDS = (
    "hts_kor_isnm", "futs_prpr", "futs_prdy_vrss", "prdy_vrss_sign", "futs_prdy_clpr",
    "futs_prdy_ctrt", "acml_vol", "acml_tr_pbmn", "hts_otst_stpl_qty", "otst_stpl_qty_icdc",
    "futs_oprc", "futs_hgpr", "futs_lwpr", "futs_mxpr", "futs_llam", "basis", "futs_sdpr",
    "hts_thpr", "dprt", "crbr_aply_mxpr", "crbr_aply_llam", "futs_last_tr_date", "hts_rmnn_dynu",
    "futs_lstn_medm_hgpr", "futs_lstn_medm_lwpr", "delta_val", "gama", "theta", "vega", "rho",
    "mrkt_basis",
)  # fmt: skip
ZERO = dict.fromkeys(("gama", "theta", "vega", "rho"), "0.0000")


def option_quote(desk: Desk, symbol: str, state: tuple[date, int]) -> dict[str, str]:
    """Return an option's quote: the fields of the sample, and those of the board that it has."""
    found = desk.options.find(symbol, state[0])
    if found is None:
        return {}
    series, maturity, place = found
    row = desk.options.at(series, maturity, *state).row(place, named=True)
    expiry = expiries.expiry(series, maturity)
    move, sign, share = change(row["price"], row["before"], 2)
    known = {
        "hts_kor_isnm": f"{row['option_type']} {maturity} {row['strike']:.1f}",
        "futs_prpr": f"{row['price']:.2f}", "futs_prdy_vrss": move, "prdy_vrss_sign": sign,
        "futs_prdy_clpr": f"{row['before']:.2f}", "futs_prdy_ctrt": share,
        "acml_vol": str(row["volume"]), "hts_otst_stpl_qty": str(row["open_interest"]),
        "acml_tr_pbmn": str(int(row["volume"] * row["price"] * 250)), "otst_stpl_qty_icdc": "0",
        "futs_oprc": f"{row['opened']:.2f}", "futs_hgpr": f"{row['high']:.2f}",
        "futs_lwpr": f"{row['low']:.2f}", "futs_sdpr": f"{row['before']:.2f}",
        "hts_thpr": f"{row['theoretical']:.2f}", "futs_last_tr_date": f"{expiry:%Y%m%d}",
        "hts_rmnn_dynu": str((expiry - state[0]).days + 1), "acpr": f"{row['strike']:.2f}",
        "delta_val": f"{row['delta']:.4f}", "gama": f"{row['gamma']:.4f}",
        "theta": f"{row['theta']:.4f}", "vega": f"{row['vega']:.4f}", "rho": f"{row['rho']:.4f}",
        "hts_ints_vltl": f"{row['iv']:.4f}", "hist_vltl": f"{row['historical']:.4f}",
        "atm_cls_name": row["atm_class"],
    }  # fmt: skip
    fields = (*QUOTE_FIELDS, "acpr", "hts_ints_vltl", "hist_vltl", "atm_cls_name")
    return {name: known.get(name, "0.00") for name in fields}


def _board_row(desk: Desk, code: str, now: datetime) -> dict[str, str]:
    quote = future_quote(desk, code, now)
    price = float(quote["futs_prpr"] or 0)
    tick = instruments.product(code).ticks[0][1]
    return {
        **{name: quote[name] for name in (
            "hts_kor_isnm", "futs_prpr", "futs_prdy_vrss", "prdy_vrss_sign", "futs_prdy_ctrt",
            "hts_thpr", "acml_vol")},
        "futs_askp": f"{price + tick:.2f}", "futs_bidp": f"{price - tick:.2f}",
        **{name: quote[name] for name in ("hts_otst_stpl_qty", "futs_hgpr", "futs_lwpr",
                                          "hts_rmnn_dynu")},
        "total_askp_rsqn": "100", "total_bidp_rsqn": "100", "futs_antc_cnpr": "0.00",
        "futs_antc_cntg_vrss": "0.00", "antc_cntg_vrss_sign": "0", "antc_cntg_prdy_ctrt": "0.00",
    }  # fmt: skip


def board_frame(quotes: pl.DataFrame) -> pl.DataFrame:
    """Return one side of a board in KIS's 41 columns of text, with KIS's oddities.

    Options without a trade have no implied volatility deep in the money; numbers are padded on the
    left in some rows; dprt is 9999.99 where the theoretical price is nil.
    """
    price, before = pl.col("price"), pl.col("before")
    move = price - before
    sign = (
        pl.when(move.abs() < 0.005)
        .then(pl.lit("3"))
        .when(move > 0)
        .then(pl.lit("2"))
        .otherwise(pl.lit("5"))
    )
    intrinsic = pl.when(pl.col("option_type") == "C").then(pl.col("underlying") - pl.col("strike")).otherwise(
        pl.col("strike") - pl.col("underlying")
    ).clip(0, None)  # fmt: skip
    untraded = (pl.col("volume") == 0) & (pl.col("delta").abs() > 0.98)
    theoretical = pl.col("theoretical")
    off = pl.when(theoretical < 0.005).then(9999.99).otherwise((price / theoretical - 1) * 100)
    odd_row = pl.col("strike") % 20 == 0
    volume = pl.col("volume").cast(pl.String)
    zero, none = pl.lit("0.00"), pl.lit("0")
    queue = ((pl.col("strike") * 7) % 90 + 10).cast(pl.Int64).cast(pl.String)
    return quotes.select(
        acpr=fixed(pl.col("strike"), 2), unch_prpr=fixed(pl.col("strike") * 7.4, 2),
        optn_shrn_iscd="code", optn_prpr=fixed(price, 2), optn_prdy_vrss=fixed(move, 2),
        prdy_vrss_sign=sign, optn_prdy_ctrt=fixed(move / before * 100, 2),
        optn_bidp=fixed(pl.col("bid"), 2), optn_askp=fixed(pl.col("ask"), 2),
        tmvl_val=fixed(price - intrinsic, 2), nmix_sdpr=fixed(before, 2),
        acml_vol=pl.when(odd_row).then(volume.str.pad_start(10)).otherwise(volume),
        seln_rsqn=queue, shnu_rsqn=queue,
        acml_tr_pbmn=(pl.col("volume") * price * 250).cast(pl.Int64).cast(pl.String),
        hts_otst_stpl_qty=pl.col("open_interest").cast(pl.String), otst_stpl_qty_icdc=none,
        delta_val=fixed(pl.col("delta"), 4), gama=fixed(pl.col("gamma"), 4),
        vega=fixed(pl.col("vega"), 4), theta=fixed(pl.col("theta"), 4), rho=fixed(pl.col("rho"), 4),
        hts_ints_vltl=fixed(pl.when(untraded).then(0.0).otherwise(pl.col("iv")), 4),
        invl_val=fixed(intrinsic, 2), esdg=fixed(price - theoretical, 2), dprt=fixed(off, 2),
        hist_vltl=fixed(pl.col("historical"), 4), hts_thpr=fixed(theoretical, 2),
        optn_oprc=fixed(pl.col("opened"), 2), optn_hgpr=fixed(pl.col("high"), 2),
        optn_lwpr=fixed(pl.col("low"), 2), optn_mxpr=fixed(before * 1.5 + 5, 2),
        optn_llam=pl.lit("0.01"), atm_cls_name="atm_class", rgbf_vrss_icdc=none,
        total_askp_rsqn=queue, total_bidp_rsqn=queue, futs_antc_cnpr=zero,
        futs_antc_cntg_vrss=zero, antc_cntg_vrss_sign=none, antc_cntg_prdy_ctrt=zero,
    )  # fmt: skip
