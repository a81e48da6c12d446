-- migrate:up

-- The whole market at a moment, 30 stocks a call: what is asked for once a minute, and after the close.
-- A row is what KIS said then. It is no bar: nothing says what happened between two of them.
CREATE TABLE market_snapshot (
    session         date             NOT NULL,
    timestamp       timestamp        NOT NULL,
    symbol          text             NOT NULL,
    price           double precision NOT NULL,
    base_price      double precision,
    change          double precision,
    open            double precision,
    high            double precision,
    low             double precision,
    volume          bigint           NOT NULL,
    turnover        double precision,
    bid             double precision,
    ask             double precision,
    bid_size        bigint,
    ask_size        bigint,
    bids            bigint,
    asks            bigint,
    upper_limit     double precision,
    lower_limit     double precision,
    expected_change double precision,
    expected_volume bigint,
    fetched_at      timestamp        NOT NULL,
    committed_at    timestamp        NOT NULL,
    PRIMARY KEY (timestamp, symbol, session)
) PARTITION BY LIST (session);
COMMENT ON TABLE market_snapshot IS
    'Many stocks at a moment, as KIS''s quotation of 30 stocks a call gives them; one partition a session';
COMMENT ON COLUMN market_snapshot.session IS 'Date of the session';
COMMENT ON COLUMN market_snapshot.timestamp IS 'Minute in which the round over the stocks began, KST without zone';
COMMENT ON COLUMN market_snapshot.symbol IS 'Short code at KRX';
COMMENT ON COLUMN market_snapshot.price IS 'Last price, KRW';
COMMENT ON COLUMN market_snapshot.base_price IS 'What changes and limits are counted from, KRW: the close before, unless rights went off';
COMMENT ON COLUMN market_snapshot.change IS 'Change of the price as KIS gives it, KRW';
COMMENT ON COLUMN market_snapshot.open IS 'First price of the day, KRW; 0 before its first trade';
COMMENT ON COLUMN market_snapshot.high IS 'Highest price of the day so far, KRW; 0 likewise';
COMMENT ON COLUMN market_snapshot.low IS 'Lowest price of the day so far, KRW; 0 likewise';
COMMENT ON COLUMN market_snapshot.volume IS 'Shares traded so far on the day';
COMMENT ON COLUMN market_snapshot.turnover IS 'Turnover so far on the day, KRW';
COMMENT ON COLUMN market_snapshot.bid IS 'Best bid, KRW; 0 where there is none';
COMMENT ON COLUMN market_snapshot.ask IS 'Best ask, KRW; 0 where there is none';
COMMENT ON COLUMN market_snapshot.bid_size IS 'Shares at the best bid';
COMMENT ON COLUMN market_snapshot.ask_size IS 'Shares at the best ask';
COMMENT ON COLUMN market_snapshot.bids IS 'Shares of all bids of the book';
COMMENT ON COLUMN market_snapshot.asks IS 'Shares of all asks of the book';
COMMENT ON COLUMN market_snapshot.upper_limit IS 'Upper price limit of the day, KRW';
COMMENT ON COLUMN market_snapshot.lower_limit IS 'Lower price limit of the day, KRW';
COMMENT ON COLUMN market_snapshot.expected_change IS 'Of an auction: expected price less base price, KRW';
COMMENT ON COLUMN market_snapshot.expected_volume IS 'Of an auction: shares that are expected to trade';
COMMENT ON COLUMN market_snapshot.fetched_at IS 'When the answer arrived, KST without zone';
COMMENT ON COLUMN market_snapshot.committed_at IS 'When the row was merged, KST without zone';

-- Beside what it made before: a partition of snapshots for a session.
DO $$
DECLARE
    definition text := pg_get_functiondef('make_partition'::regproc);
    changed    text := replace(definition, 'parent = ''trades'' AND',
                               'parent IN (''trades'', ''market_snapshot'') AND');
BEGIN
    ASSERT changed <> definition;
    EXECUTE changed;
END $$;

-- Snapshots are worth less the older they are, and a million rows a day: sessions before a day are dropped.
CREATE FUNCTION drop_market_snapshots(before date) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    child text;
    dropped bigint := 0;
BEGIN
    FOR child IN
        SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
        WHERE inhparent = 'public.market_snapshot'::regclass
          AND relname < 'market_snapshot_' || to_char(before, 'YYYYMMDD')
    LOOP
        EXECUTE format('DROP TABLE %I', child);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END $$;
COMMENT ON FUNCTION drop_market_snapshots IS
    'Drops the snapshots of sessions before a day; returns how many sessions those were';
REVOKE ALL ON FUNCTION drop_market_snapshots FROM PUBLIC;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'krt_writer') THEN
        GRANT SELECT, INSERT, UPDATE ON market_snapshot TO krt_writer;
        GRANT EXECUTE ON FUNCTION drop_market_snapshots TO krt_writer;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'krt_reader') THEN
        GRANT SELECT ON market_snapshot TO krt_reader;
    END IF;
END $$;

-- migrate:down
-- A system of record goes forward only.
