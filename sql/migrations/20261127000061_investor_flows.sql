-- migrate:up

-- Sums of the day as KIS gives them, one row an investor; the view has the difference from row to row.
CREATE TABLE investor_flows (
    timestamp     timestamp NOT NULL,
    symbol        text NOT NULL,
    investor      text NOT NULL,
    sold_volume   bigint,
    bought_volume bigint,
    net_volume    bigint,
    sold_amount   bigint,
    bought_amount bigint,
    net_amount    bigint,
    fetched_at    timestamp NOT NULL,
    committed_at  timestamp NOT NULL,
    PRIMARY KEY (symbol, timestamp, investor)
);
COMMENT ON TABLE investor_flows IS 'What each kind of investor has sold and bought, sums of the day, minute by minute; KIS tells this only once';
COMMENT ON COLUMN investor_flows.timestamp IS 'End of the minute after which KIS was asked, KST without zone';
COMMENT ON COLUMN investor_flows.symbol IS 'Market: KOSPI, KOSDAQ, KOSPI200_FUTURES, KOSPI200_CALLS and others';
COMMENT ON COLUMN investor_flows.investor IS 'Kind of investor; institution is the sum of securities to pension';
COMMENT ON COLUMN investor_flows.sold_volume IS 'Of the day so far: contracts, of stocks as KIS gives it (thousand shares)';
COMMENT ON COLUMN investor_flows.bought_volume IS 'Of the day so far, as sold_volume';
COMMENT ON COLUMN investor_flows.net_volume IS 'Bought less sold, as KIS gives it';
COMMENT ON COLUMN investor_flows.sold_amount IS 'Of the day so far, million KRW';
COMMENT ON COLUMN investor_flows.bought_amount IS 'Of the day so far, million KRW';
COMMENT ON COLUMN investor_flows.net_amount IS 'Bought less sold, as KIS gives it, million KRW';
COMMENT ON COLUMN investor_flows.fetched_at IS 'When KIS''s answer arrived, KST without zone';
COMMENT ON COLUMN investor_flows.committed_at IS 'When the row was merged, KST without zone';

CREATE VIEW investor_flows_1m AS
SELECT timestamp, symbol, investor,
       extract(epoch FROM timestamp - lag(timestamp) OVER day)::bigint AS seconds,
       sold_volume - lag(sold_volume) OVER day AS sold_volume,
       bought_volume - lag(bought_volume) OVER day AS bought_volume,
       net_volume - lag(net_volume) OVER day AS net_volume,
       sold_amount - lag(sold_amount) OVER day AS sold_amount,
       bought_amount - lag(bought_amount) OVER day AS bought_amount,
       net_amount - lag(net_amount) OVER day AS net_amount
FROM investor_flows
WINDOW day AS (PARTITION BY symbol, investor, timestamp::date ORDER BY timestamp);
COMMENT ON VIEW investor_flows_1m IS 'What each kind of investor sold and bought since the row before';
COMMENT ON COLUMN investor_flows_1m.timestamp IS 'End of the minute, KST without zone';
COMMENT ON COLUMN investor_flows_1m.symbol IS 'Market';
COMMENT ON COLUMN investor_flows_1m.seconds IS 'How long since the row before: 60, more after a hole; NULL, as all values, for the first of a day';
COMMENT ON COLUMN investor_flows_1m.investor IS 'Kind of investor';
COMMENT ON COLUMN investor_flows_1m.sold_volume IS 'Since the row before, in the unit of investor_flows';
COMMENT ON COLUMN investor_flows_1m.bought_volume IS 'Since the row before, in the unit of investor_flows';
COMMENT ON COLUMN investor_flows_1m.net_volume IS 'Since the row before, in the unit of investor_flows';
COMMENT ON COLUMN investor_flows_1m.sold_amount IS 'Since the row before, in the unit of investor_flows';
COMMENT ON COLUMN investor_flows_1m.bought_amount IS 'Since the row before, in the unit of investor_flows';
COMMENT ON COLUMN investor_flows_1m.net_amount IS 'Since the row before, in the unit of investor_flows';

-- migrate:down
-- A system of record goes forward only.
