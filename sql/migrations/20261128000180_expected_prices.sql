-- migrate:up

-- What KIS shows while orders for an auction are taken. It has no history of it.
CREATE TABLE expected_prices (
    timestamp    timestamp NOT NULL,
    symbol       text NOT NULL,
    said_at      timestamp NOT NULL,
    price        double precision,
    size         bigint,
    source       text NOT NULL,
    fetched_at   timestamp NOT NULL,
    committed_at timestamp NOT NULL,
    PRIMARY KEY (symbol, timestamp, said_at)
);
COMMENT ON TABLE expected_prices IS
    'What the opening and the closing auction are expected to give, each change that KIS tells; it tells this only once';
COMMENT ON COLUMN expected_prices.timestamp IS
    'End of the minute in which it stood, KST without zone; a minute without a change has the last one before it';
COMMENT ON COLUMN expected_prices.symbol IS 'Code of a futures contract or stock';
COMMENT ON COLUMN expected_prices.said_at IS 'KIS''s time of the expectation, KST without zone';
COMMENT ON COLUMN expected_prices.price IS 'Index points of futures, KRW of stocks; NULL while no orders meet';
COMMENT ON COLUMN expected_prices.size IS 'Shares; NULL for futures, of which KIS does not say it';
COMMENT ON COLUMN expected_prices.source IS 'TR id of the answer or frame';
COMMENT ON COLUMN expected_prices.fetched_at IS 'When KIS''s answer arrived, KST without zone';
COMMENT ON COLUMN expected_prices.committed_at IS 'When the row was merged, KST without zone';

-- migrate:down
-- A system of record goes forward only.
