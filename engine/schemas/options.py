"""Option chains, the matrices made of them, and what a chain says as a whole."""

from __future__ import annotations

import pyarrow as pa

from engine.schemas.base import TIME

LEVELS = 10  # strikes on either side of the one at the money
METRICS = ("iv", "delta", "gamma", "vega", "theta", "rho", "price", "volume", "open_interest")
MODEL_METRICS = (
    "model_iv",
    "model_delta",
    "model_gamma",
    "model_vega",
    "model_theta",
    "model_rho",
)


def level_columns(levels: int = LEVELS) -> list[str]:
    """Return the value columns of an option matrix: calls, then puts, ITM n … ATM … OTM n."""
    moneyness = [
        *(f"itm{n}" for n in range(levels, 0, -1)),
        "atm",
        *(f"otm{n}" for n in range(1, levels + 1)),
    ]
    return [f"{side}_{level}" for side in "cp" for level in moneyness]


OPTION_CHAIN = pa.schema(
    [
        ("timestamp", TIME),  # the minute that the snapshot belongs to
        ("underlying_symbol", pa.string()),  # {maturity}_{underlying}: 202612_KOSPI200
        ("symbol", pa.string()),  # short code of the option
        ("option_type", pa.string()),  # C or P
        ("strike", pa.float64()),  # index points
        ("price", pa.float64()),  # last trade, index points
        ("bid", pa.float64()),  # best, index points
        ("ask", pa.float64()),  # best, index points
        ("volume", pa.int64()),  # contracts, today so far
        ("open_interest", pa.int64()),  # contracts
        ("iv", pa.float64()),  # % per year, the vendor's implied volatility
        ("historical_volatility", pa.float64()),  # % per year, what the vendor's greeks use
        ("delta", pa.float64()),  # index points per point of the index
        ("gamma", pa.float64()),  # delta per point of the index
        ("vega", pa.float64()),  # index points per volatility point
        ("theta", pa.float64()),  # index points per calendar day
        ("rho", pa.float64()),  # index points per percentage point of the rate
        ("theoretical_price", pa.float64()),  # index points
        ("atm_class", pa.string()),  # the vendor's flag; follows the previous close, not trusted
        ("underlying_price", pa.float64()),  # index points, as KIS gave it
        ("underlying_source", pa.string()),  # future:CODE or index
        ("price_since", TIME),  # first snapshot of the day from which on the price has stood
        ("stale_price", pa.bool_()),  # not traded today, and no bid and ask
        ("quoted_at", TIME),  # when this row's own quote arrived; of the feed: the exchange's time
        ("quote_source", pa.string()),  # board, single or feed
        ("bid_size", pa.int64()),  # contracts at the best bid; NULL of a single quote
        ("ask_size", pa.int64()),
        ("turnover", pa.float64()),  # KRW, today so far
        ("bought", pa.int64()),  # contracts today so far, buyers coming to the ask; feed alone
        ("sold", pa.int64()),  # contracts today so far, sellers coming to the bid; feed alone
        ("index_price", pa.float64()),  # index points; NULL at night
        ("fetched_at", TIME),  # when the snapshot was complete
    ]
)
OPTION_MATRIX = pa.schema(
    [
        ("timestamp", TIME),
        ("underlying_symbol", pa.string()),
        ("metric_type", pa.string()),
        *((column, pa.float64()) for column in level_columns()),
        ("fetched_at", TIME),
    ]
)
ALL_MATURITIES = "all_"  # before the name of an underlying: a row over all maturities
OPTION_SURFACE = pa.schema(
    [
        ("timestamp", TIME),
        ("underlying_symbol", pa.string()),  # of one maturity; all_KOSPI200: of all of them
        ("forward", pa.float64()),  # index points; over all that of the nearest maturity
        ("years", pa.float64()),  # to the end of trading, calendar days / 365
        ("smile_theta", pa.float64()),  # total variance at the money; NULL without a smile
        ("smile_rho", pa.float64()),  # skew, between -1 and 1
        ("smile_psi", pa.float64()),  # how fast total variance grows in the wings
        ("atm_volatility", pa.float64()),  # % per year, at the forward
        ("risk_reversal_25d", pa.float64()),  # volatility points
        ("butterfly_25d", pa.float64()),  # volatility points
        ("risk_reversal_10d", pa.float64()),  # volatility points
        ("butterfly_10d", pa.float64()),  # volatility points
        ("swap_volatility", pa.float64()),  # % per year, what a variance swap would pay
        ("expected_move_close", pa.float64()),  # index points, mean size until the day's close
        ("expected_move_expiry", pa.float64()),  # index points; over all of the nearest maturity
        ("atm_7d", pa.float64()),  # % per year, at a constant maturity; only over all
        ("atm_30d", pa.float64()),
        ("atm_60d", pa.float64()),
        ("vkospi", pa.float64()),  # % per year, variance swap of 30 days; only over all
        ("vkospi_weekly", pa.float64()),  # % per year, variance swap of 7 days; only over all
        ("error_points", pa.float64()),  # smile against quotes, root mean square, volatility points
        ("error_ticks", pa.float64()),  # the same in ticks of price
        ("quotes", pa.int64()),  # that were fitted
        ("quality", pa.string()),  # good, sparse, stale or none
        ("arbitrage", pa.string()),  # butterfly, calendar or both; NULL as it should be
        ("maturities", pa.int64()),  # that have a smile and a part in the exposures
        ("delta_exposure", pa.float64()),  # KRW
        ("gamma_exposure", pa.float64()),  # KRW per 1 % move of the market
        ("vanna_exposure", pa.float64()),  # KRW per volatility point
        ("charm_exposure", pa.float64()),  # KRW per calendar day
        ("zero_gamma", pa.float64()),  # index points
        ("call_wall", pa.float64()),  # strike, index points
        ("put_wall", pa.float64()),  # strike, index points
        ("modelled", pa.float64()),  # share of the open interest without a volatility of its own
        ("fetched_at", TIME),
    ]
)
OPTION_SUMMARY = pa.schema(
    [
        ("timestamp", TIME),
        ("underlying_symbol", pa.string()),
        ("underlying_price", pa.float64()),  # index points
        ("forward", pa.float64()),  # index points, what decides ATM
        ("forward_source", pa.string()),  # parity, future or index
        ("forward_strikes", pa.int64()),  # on which parity rests, else 0
        ("implied_rate", pa.float64()),  # % per year, of the parity line
        ("implied_rate_error", pa.float64()),  # % per year, standard error by the prices' errors
        ("implied_dividend", pa.float64()),  # index points until expiry
        ("future_gap", pa.float64()),  # synthetic future less the future, in its ticks
        ("atm_strike", pa.float64()),  # index points
        ("atm_volatility", pa.float64()),  # % per year
        ("risk_reversal_25d", pa.float64()),  # volatility points
        ("butterfly_25d", pa.float64()),  # volatility points
        ("put_call_volume_ratio", pa.float64()),
        ("put_call_turnover_ratio", pa.float64()),
        ("put_call_open_interest_ratio", pa.float64()),
        ("max_pain", pa.float64()),  # index points
        ("gamma_exposure", pa.float64()),  # KRW per 1 % move of the underlying
        ("zero_gamma", pa.float64()),  # index points
        ("days_to_expiry", pa.float64()),  # calendar days
        ("flags", pa.string()),
        ("fetched_at", TIME),
    ]
)
