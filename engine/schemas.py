"""The Arrow schemas of all streams: the one definition that fetchers, store and SQL agree on.

Timestamps are KST without zone, microseconds. A bar's `timestamp` is the end of its minute; the
closing auction keeps its own label (15:30 stocks, 15:45 derivatives). Prices of derivatives are
index points, of stocks KRW; volumes are contracts or shares. `fetched_at` is when KIS's answer
arrived; the column `committed_at`, which only tables have, is when the merge was made.
"""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl
import pyarrow as pa

from engine.columns import PRICES

TIME = pa.timestamp("us")
POSTGRES_TYPES = {  # the types that a column of a table may have
    pa.float64(): "double precision",
    pa.int64(): "bigint",
    pa.string(): "text",
    pa.bool_(): "boolean",
    pa.date32(): "date",
    TIME: "timestamp without time zone",
}

LEVELS = 10
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


_PRICES = [(name, pa.float64()) for name in PRICES]
# where a bar came from: KIS's WebSocket, its answer to a question, or a file of `just import`
FEED, REST, FILE = "feed", "rest", "file"

FUTURES_BARS = pa.schema(
    [
        ("timestamp", TIME),
        ("symbol", pa.string()),
        *_PRICES,
        ("volume", pa.int64()),
        ("fetched_at", TIME),
        ("source", pa.string()),  # FEED, REST or FILE
    ]
)
STOCK_BARS = pa.schema(
    [
        ("timestamp", TIME),
        ("symbol", pa.string()),
        ("timeframe", pa.string()),
        *_PRICES,
        ("volume", pa.int64()),
        ("fetched_at", TIME),
        ("source", pa.string()),  # FEED, REST or FILE
    ]
)
VENUE_BARS = pa.schema(
    [
        ("timestamp", TIME),
        ("symbol", pa.string()),  # stock and venue: 005930_NX
        ("venue", pa.string()),  # as KIS's questions name it: J (KRX), NX (Nextrade), UN (both)
        *_PRICES,
        ("volume", pa.int64()),
        ("fetched_at", TIME),
        ("source", pa.string()),  # FEED, REST or FILE
    ]
)
TRADES = pa.schema(
    [
        ("session", pa.date32()),  # date of the session, which a night's trades keep past midnight
        ("symbol", pa.string()),
        ("traded_at", TIME),  # by the exchange's clock, whole seconds
        ("received_at", TIME),
        ("price", pa.float64()),
        ("size", pa.int64()),  # contracts or shares
        ("side", pa.string()),  # B: the buyer came to the ask, S: the seller to the bid; else null
        ("day_volume", pa.int64()),  # of the session, this trade included
        ("day_turnover", pa.float64()),  # KRW, of the session
        ("day_bought", pa.int64()),  # of the session, by trades whose side is B
        ("day_sold", pa.int64()),  # of the session, by trades whose side is S
        ("bid", pa.float64()),  # best, after the trade
        ("ask", pa.float64()),
        ("bid_size", pa.int64()),
        ("ask_size", pa.int64()),
        ("open_interest", pa.int64()),  # contracts; null for stocks
        ("limit_state", pa.string()),  # as KIS gives it: price limits of futures, halts of stocks
    ]
)
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
ADJUSTMENTS = pa.schema(
    [
        ("symbol", pa.string()),
        ("effective", pa.date32()),
        ("factor", pa.float64()),
        ("state", pa.string()),  # found, confirmed or doubted
        ("reason", pa.string()),
        ("first_seen", pa.date32()),
        ("found_at", TIME),
        ("checked_at", TIME),
    ]
)
REJECTED_ROWS = pa.schema(
    [
        ("received_at", TIME),
        ("tr_id", pa.string()),
        ("symbol", pa.string()),
        ("reason", pa.string()),
        ("raw", pa.string()),  # the row as KIS sent it, JSON
    ]
)


def conform(frame: pl.DataFrame, schema: pa.Schema) -> pa.RecordBatch:
    """Return the frame's columns in the order and types of a stream, as one Arrow batch.

    Raises pyarrow.ArrowInvalid where a value does not fit its type (polars raises
    ColumnNotFoundError where a column is missing): both are mistakes of ours, not of the data.
    """
    arrays = (frame[field.name].to_arrow() for field in schema)
    cast = [a if a.type == f.type else a.cast(f.type) for a, f in zip(arrays, schema, strict=True)]
    return pa.RecordBatch.from_arrays(cast, schema=schema)


def one_frame(batches: Iterable[pa.RecordBatch]) -> pl.DataFrame:
    """Return batches of one schema as a frame: put together first, for many are slow to read."""
    table = pa.Table.from_batches(batches).combine_chunks()
    return pl.DataFrame(table.to_batches()[0] if table.num_rows else table)


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
        (
            "implied_rate_error",
            pa.float64(),
        ),  # its standard error by the prices' errors, % per year
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
# What KIS tells only once (`engine.market.told_once`): `symbol` is what a row is about.
FUTURES_STATE = pa.schema(
    [
        ("timestamp", TIME),  # end of the minute after which KIS was asked
        ("symbol", pa.string()),  # futures contract
        ("price", pa.float64()),  # last trade, index points
        ("bid", pa.float64()),  # best, index points
        ("ask", pa.float64()),  # best, index points
        ("open_interest", pa.int64()),  # contracts
        ("open_interest_change", pa.int64()),  # contracts, since the session before
        ("basis", pa.float64()),  # future less index, index points
        ("theoretical_price", pa.float64()),  # index points
        ("deviation", pa.float64()),  # of the price from the theoretical one, %
        ("index_price", pa.float64()),  # KOSPI 200, index points
        ("day_volume", pa.int64()),  # contracts, today so far
        ("day_turnover", pa.float64()),  # today so far, as KIS gives it
        ("source", pa.string()),  # TR id
        ("fetched_at", TIME),
    ]
)
INVESTOR_FLOWS = pa.schema(
    [
        ("timestamp", TIME),  # end of the minute after which KIS was asked
        ("symbol", pa.string()),  # market: KOSPI, KOSPI200_FUTURES, KOSPI200_CALLS …
        ("investor", pa.string()),  # foreign, individual, institution and the kinds of those …
        *(
            (
                f"{side}_{unit}",
                pa.int64(),
            )  # today so far; contracts or thousand shares, million KRW
            for unit in ("volume", "amount")
            for side in ("sold", "bought", "net")
        ),
        ("fetched_at", TIME),
    ]
)
PROGRAMME_TRADES = pa.schema(
    [
        ("timestamp", TIME),  # KIS's time of the row
        ("symbol", pa.string()),  # market: KOSPI, KOSDAQ
        *(
            (f"{kind}_{side}", pa.int64())  # million KRW, today so far
            for kind in ("arbitrage", "other")
            for side in ("sold", "bought", "net")
        ),
        ("net", pa.int64()),  # million KRW, today so far, both kinds
        *(
            (f"{name}_volume", pa.int64())  # as KIS gives it, by the feed alone
            for name in (
                *("arbitrage_sold", "arbitrage_bought", "arbitrage_net"),
                *("other_sold", "other_bought", "other_net", "net"),
            )
        ),
        ("index_price", pa.float64()),  # of the market's index, points; null by the feed
        ("source", pa.string()),  # TR id
        ("fetched_at", TIME),
    ]
)
INDEX_BARS = pa.schema(
    [
        ("timestamp", TIME),
        ("symbol", pa.string()),  # KOSPI, KOSDAQ, KOSPI200, KOSDAQ150
        *_PRICES,
        ("volume", pa.int64()),  # thousand shares
        ("day_turnover", pa.float64()),  # million KRW, today so far
        ("fetched_at", TIME),
    ]
)
EXPECTED_PRICES = pa.schema(
    [
        ("timestamp", TIME),  # end of the minute of an auction
        ("symbol", pa.string()),  # futures contract or stock
        ("said_at", TIME),  # KIS's time of the expectation
        ("price", pa.float64()),  # index points or KRW; null while orders do not meet
        ("size", pa.int64()),  # shares; null for futures, of which KIS does not say it
        ("source", pa.string()),  # TR id
        ("fetched_at", TIME),
    ]
)
BOOK_LEVELS = 5
# The book of a future as KIS sends it, in files beside the database (`engine.store.book_files`).
BOOK = pa.schema(
    [
        ("session", pa.date32()),
        ("symbol", pa.string()),
        ("told_at", TIME),  # by the exchange's clock, whole seconds
        ("received_at", TIME),
        *(
            (f"{side}{what}{level}", kind)  # level 1 is the best; a size is contracts
            for side in ("bid", "ask")
            for what, kind in (("", pa.float64()), ("_size", pa.int64()), ("_orders", pa.int64()))
            for level in range(1, BOOK_LEVELS + 1)
        ),
    ]
)
BOOK_MINUTES = pa.schema(
    [
        ("timestamp", TIME),
        ("symbol", pa.string()),  # futures contract
        ("updates", pa.int64()),  # that the files have of the minute
        ("longest_pause", pa.float64()),  # seconds between two of them, the minute's ends included
        ("fetched_at", TIME),  # when the last of them arrived
    ]
)
SYSTEM_STATUS = pa.schema(
    [
        ("component", pa.string()),
        ("timestamp", TIME),  # of the heartbeat
        ("status", pa.string()),
        ("message", pa.string()),
        ("data_count", pa.int64()),  # rows stored, calls made or batches that wait
        ("last_data_time", TIME),  # timestamp of the newest row stored
    ]
)
GAPS = pa.schema(
    [
        ("symbol", pa.string()),
        ("session", pa.date32()),
        ("market", pa.string()),
        ("first_stamp", TIME),
        ("last_stamp", TIME),
        ("stamps", pa.int64()),  # bars missing between the two
        ("state", pa.string()),  # open, filled, no_trade, halted, refused, unavailable
        ("attempts", pa.int64()),
        ("reason", pa.string()),
        ("opened_at", TIME),
        ("answered_at", TIME),  # KIS's time of the last answer that counted
        ("updated_at", TIME),
    ]
)
STRATEGY_SYMBOLS = pa.schema([("strategy", pa.string()), ("symbol", pa.string()), ("since", TIME)])
FEED_SYMBOLS = pa.schema(
    [
        ("session", pa.date32()),
        ("symbol", pa.string()),
        ("by_feed", pa.bool_()),  # else it is polled
        ("since", TIME),  # when that began
        ("reason", pa.string()),  # why it is not by the feed, in words
    ]
)
STOCK_LISTINGS = pa.schema(
    [
        ("symbol", pa.string()),
        ("seen_first", pa.date32()),  # of this name
        ("seen_last", pa.date32()),
        ("name", pa.string()),  # Korean
        ("market", pa.string()),  # KOSPI or KOSDAQ
        ("kind", pa.string()),  # common, preferred, ETF …
        ("group_code", pa.string()),  # KIS's own
        ("sector_large", pa.string()),
        ("sector_medium", pa.string()),
        ("sector_small", pa.string()),
        ("index_member", pa.string()),  # KOSPI200, KOSDAQ150, or null
        ("halted", pa.bool_()),
        ("liquidating", pa.bool_()),  # its last trading before it is delisted
        ("managed", pa.bool_()),  # under KRX's supervision
        ("listed_from", pa.date32()),
        ("standard_code", pa.string()),
        ("fetched_at", TIME),
    ]
)
MARKET_SNAPSHOT = pa.schema(  # sizes in shares, the rest in KRW
    [
        ("session", pa.date32()),
        ("timestamp", TIME),  # minute in which the round over the stocks began
        ("symbol", pa.string()),
        ("price", pa.float64()),
        ("base_price", pa.float64()),  # what changes and limits are counted from
        ("change", pa.float64()),
        ("open", pa.float64()),
        ("high", pa.float64()),
        ("low", pa.float64()),
        ("volume", pa.int64()),  # of the day so far
        ("turnover", pa.float64()),  # of the day so far
        ("bid", pa.float64()),
        ("ask", pa.float64()),
        ("bid_size", pa.int64()),
        ("ask_size", pa.int64()),
        ("bids", pa.int64()),  # of the whole book
        ("asks", pa.int64()),
        ("upper_limit", pa.float64()),
        ("lower_limit", pa.float64()),
        ("expected_change", pa.float64()),  # of an auction
        ("expected_volume", pa.int64()),
        ("fetched_at", TIME),
    ]
)
COLLECTED_SYMBOLS = pa.schema([("session", pa.date32()), ("symbol", pa.string()), ("since", TIME)])
KEPT_SESSIONS = pa.schema(
    [
        ("symbol", pa.string()),
        ("session", pa.date32()),
        ("market", pa.string()),
        ("owed", pa.int64()),
        ("stored", pa.int64()),
        ("no_trade", pa.int64()),
        ("unavailable", pa.int64()),
        ("refused", pa.int64()),
        ("open", pa.int64()),
        ("validated", pa.bool_()),
        ("updated_at", TIME),
    ]
)
MARKET_EVENTS = pa.schema(
    [
        ("symbol", pa.string()),  # or a market: stocks, derivatives, night
        ("kind", pa.string()),  # vi, circuit_breaker, halt, sidecar, price_limit
        ("started_at", TIME),
        ("ended_at", TIME),  # null while it lasts
        ("source", pa.string()),  # TR id
        ("code", pa.string()),  # KIS's own
        ("fetched_at", TIME),
    ]
)
FRONT_MONTHS = pa.schema(
    [
        ("product", pa.string()),
        ("symbol", pa.string()),
        ("first_day", pa.date32()),
        ("last_day", pa.date32()),
        ("updated_at", TIME),
    ]
)
DOUBTED_BARS = pa.schema(
    [
        ("symbol", pa.string()),
        ("session", pa.date32()),
        ("stamp", TIME),
        ("answered_at", TIME),  # by KIS's clock
    ]
)
CONFIRMED_BARS = pa.schema(
    [
        ("timestamp", TIME),
        ("symbol", pa.string()),
        *_PRICES,
        ("volume", pa.int64()),
        ("confirmed_at", TIME),
    ]
)
