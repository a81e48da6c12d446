"""What the market as a whole does: flows, expected prices, snapshots, events, listings.

Most of it KIS tells only once (`engine.market.told_once`): `symbol` is what a row is about.
"""

from __future__ import annotations

import pyarrow as pa

from engine.schemas.base import TIME

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
            # today so far; volumes are contracts or thousand shares, amounts million KRW
            (f"{side}_{unit}", pa.int64())
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
FRONT_MONTHS = pa.schema(
    [
        ("product", pa.string()),
        ("symbol", pa.string()),
        ("first_day", pa.date32()),
        ("last_day", pa.date32()),
        ("updated_at", TIME),
    ]
)
