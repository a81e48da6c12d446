-- migrate:up

-- What KIS shows of a future beside its bars. It is of the moment and has no history, so it stands apart
-- from the bars, which can be fetched again.
CREATE TABLE futures_state (
    timestamp            timestamp NOT NULL,
    symbol               text NOT NULL,
    price                double precision,
    bid                  double precision,
    ask                  double precision,
    open_interest        bigint,
    open_interest_change bigint,
    basis                double precision,
    theoretical_price    double precision,
    deviation            double precision,
    index_price          double precision,
    day_volume           bigint,
    day_turnover         double precision,
    fetched_at           timestamp NOT NULL,
    committed_at         timestamp NOT NULL,
    PRIMARY KEY (symbol, timestamp)
);
COMMENT ON TABLE futures_state IS 'Futures minute by minute as KIS shows them beside their bars; it tells this only once';
COMMENT ON COLUMN futures_state.timestamp IS 'End of the minute after which KIS was asked, KST without zone';
COMMENT ON COLUMN futures_state.symbol IS 'Code of the futures contract';
COMMENT ON COLUMN futures_state.price IS 'Last trade, index points';
COMMENT ON COLUMN futures_state.bid IS 'Best bid, index points';
COMMENT ON COLUMN futures_state.ask IS 'Best ask, index points';
COMMENT ON COLUMN futures_state.open_interest IS 'Contracts';
COMMENT ON COLUMN futures_state.open_interest_change IS 'Contracts, since the session before';
COMMENT ON COLUMN futures_state.basis IS 'Future less index, index points';
COMMENT ON COLUMN futures_state.theoretical_price IS 'Index points';
COMMENT ON COLUMN futures_state.deviation IS 'Of the price from the theoretical one, per cent';
COMMENT ON COLUMN futures_state.index_price IS 'KOSPI 200, index points';
COMMENT ON COLUMN futures_state.day_volume IS 'Contracts, of the session so far';
COMMENT ON COLUMN futures_state.day_turnover IS 'Of the session so far, as KIS gives it';
COMMENT ON COLUMN futures_state.fetched_at IS 'When KIS''s answer arrived, KST without zone';
COMMENT ON COLUMN futures_state.committed_at IS 'When the row was merged, KST without zone';

-- migrate:down
-- A system of record goes forward only.
