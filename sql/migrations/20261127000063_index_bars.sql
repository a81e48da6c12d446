-- migrate:up

-- The share indices by minute.
CREATE TABLE index_1m (
    timestamp    timestamp NOT NULL,
    symbol       text NOT NULL,
    open         double precision,
    high         double precision,
    low          double precision,
    close        double precision,
    volume       bigint,
    day_turnover double precision,
    fetched_at   timestamp NOT NULL,
    committed_at timestamp NOT NULL,
    PRIMARY KEY (symbol, timestamp)
);
COMMENT ON TABLE index_1m IS 'Minute bars of the share indices; KIS keeps some hours of them';
COMMENT ON COLUMN index_1m.timestamp IS 'End of the minute, KST without zone; the closing auction has its own time';
COMMENT ON COLUMN index_1m.symbol IS 'KOSPI, KOSDAQ, KOSPI200 or KOSDAQ150';
COMMENT ON COLUMN index_1m.open IS 'Index points';
COMMENT ON COLUMN index_1m.high IS 'Index points';
COMMENT ON COLUMN index_1m.low IS 'Index points';
COMMENT ON COLUMN index_1m.close IS 'Index points';
COMMENT ON COLUMN index_1m.volume IS 'Of the minute, as KIS gives it (thousand shares)';
COMMENT ON COLUMN index_1m.day_turnover IS 'Of the day so far, million KRW';
COMMENT ON COLUMN index_1m.fetched_at IS 'When KIS''s answer arrived, KST without zone';
COMMENT ON COLUMN index_1m.committed_at IS 'When the row was merged, KST without zone';

-- migrate:down
-- A system of record goes forward only.
