-- migrate:up

-- Sums of the day as KIS gives them; the view has the difference from row to row.
CREATE TABLE programme_trades (
    timestamp        timestamp NOT NULL,
    symbol           text NOT NULL,
    arbitrage_sold   bigint,
    arbitrage_bought bigint,
    arbitrage_net    bigint,
    other_sold       bigint,
    other_bought     bigint,
    other_net        bigint,
    net              bigint,
    index_price      double precision,
    fetched_at       timestamp NOT NULL,
    committed_at     timestamp NOT NULL,
    PRIMARY KEY (symbol, timestamp)
);
COMMENT ON TABLE programme_trades IS 'Programme trading of stocks, sums of the day, minute by minute; KIS keeps it for half an hour';
COMMENT ON COLUMN programme_trades.timestamp IS 'KIS''s time of the row, KST without zone';
COMMENT ON COLUMN programme_trades.symbol IS 'Market: KOSPI or KOSDAQ';
COMMENT ON COLUMN programme_trades.arbitrage_sold IS 'Arbitrage, sold, of the day so far, million KRW';
COMMENT ON COLUMN programme_trades.arbitrage_bought IS 'Arbitrage, bought, of the day so far, million KRW';
COMMENT ON COLUMN programme_trades.arbitrage_net IS 'Arbitrage, net, of the day so far, million KRW';
COMMENT ON COLUMN programme_trades.other_sold IS 'Other than arbitrage, sold, of the day so far, million KRW';
COMMENT ON COLUMN programme_trades.other_bought IS 'Other than arbitrage, bought, of the day so far, million KRW';
COMMENT ON COLUMN programme_trades.other_net IS 'Other than arbitrage, net, of the day so far, million KRW';
COMMENT ON COLUMN programme_trades.net IS 'Both kinds, bought less sold, of the day so far, million KRW';
COMMENT ON COLUMN programme_trades.index_price IS 'Of the index of the market, points';
COMMENT ON COLUMN programme_trades.fetched_at IS 'When KIS''s answer arrived, KST without zone';
COMMENT ON COLUMN programme_trades.committed_at IS 'When the row was merged, KST without zone';

CREATE VIEW programme_trades_1m AS
SELECT timestamp, symbol,
       extract(epoch FROM timestamp - lag(timestamp) OVER day)::bigint AS seconds,
       arbitrage_sold - lag(arbitrage_sold) OVER day AS arbitrage_sold,
       arbitrage_bought - lag(arbitrage_bought) OVER day AS arbitrage_bought,
       arbitrage_net - lag(arbitrage_net) OVER day AS arbitrage_net,
       other_sold - lag(other_sold) OVER day AS other_sold,
       other_bought - lag(other_bought) OVER day AS other_bought,
       other_net - lag(other_net) OVER day AS other_net,
       net - lag(net) OVER day AS net
FROM programme_trades
WINDOW day AS (PARTITION BY symbol, timestamp::date ORDER BY timestamp);
COMMENT ON VIEW programme_trades_1m IS 'Programme trading since the row before';
COMMENT ON COLUMN programme_trades_1m.timestamp IS 'End of the minute, KST without zone';
COMMENT ON COLUMN programme_trades_1m.symbol IS 'Market';
COMMENT ON COLUMN programme_trades_1m.seconds IS 'How long since the row before: 60, more after a hole; NULL, as all values, for the first of a day';
COMMENT ON COLUMN programme_trades_1m.arbitrage_sold IS 'Since the row before, million KRW';
COMMENT ON COLUMN programme_trades_1m.arbitrage_bought IS 'Since the row before, million KRW';
COMMENT ON COLUMN programme_trades_1m.arbitrage_net IS 'Since the row before, million KRW';
COMMENT ON COLUMN programme_trades_1m.other_sold IS 'Since the row before, million KRW';
COMMENT ON COLUMN programme_trades_1m.other_bought IS 'Since the row before, million KRW';
COMMENT ON COLUMN programme_trades_1m.other_net IS 'Since the row before, million KRW';
COMMENT ON COLUMN programme_trades_1m.net IS 'Since the row before, million KRW';

-- migrate:down
-- A system of record goes forward only.
