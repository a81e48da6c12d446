-- migrate:up

-- Bars of stocks at other venues than KRX's regular session have a table of their own, under symbols of
-- their own (005930_NX): no query about the regular session can reach one by accident.
CREATE TABLE stocks_venue_1m (
    timestamp    timestamp        NOT NULL,
    symbol       text             NOT NULL,
    venue        text             NOT NULL,
    open         double precision NOT NULL,
    high         double precision NOT NULL,
    low          double precision NOT NULL,
    close        double precision NOT NULL,
    volume       bigint           NOT NULL,
    fetched_at   timestamp        NOT NULL,
    committed_at timestamp        NOT NULL,
    source       text             NOT NULL DEFAULT 'rest' CHECK (source IN ('feed', 'rest')),
    confirmed_at timestamp,
    PRIMARY KEY (symbol, timestamp),
    CHECK (symbol LIKE '%\_AFTER' AND venue = 'J' OR symbol LIKE '%\_NX' AND venue = 'NX'
           OR symbol LIKE '%\_UN' AND venue = 'UN')
) PARTITION BY RANGE (timestamp);
CREATE INDEX ON stocks_venue_1m USING brin (timestamp) WITH (pages_per_range = 32);
CREATE TRIGGER keep_replaced_bar AFTER UPDATE ON stocks_venue_1m FOR EACH ROW
    WHEN ((OLD.open, OLD.high, OLD.low, OLD.close, OLD.volume)
          IS DISTINCT FROM (NEW.open, NEW.high, NEW.low, NEW.close, NEW.volume))
    EXECUTE FUNCTION keep_replaced_bar('stocks_venue_1m');
COMMENT ON TABLE stocks_venue_1m IS
    '1-minute bars of stocks at other venues than KRX''s regular session; partitions by month';
COMMENT ON COLUMN stocks_venue_1m.timestamp IS 'End of the minute, KST without zone';
COMMENT ON COLUMN stocks_venue_1m.symbol IS
    'Code at KRX and venue: _AFTER (KRX''s after-market), _NX (Nextrade), _UN (both, as KIS has it)';
COMMENT ON COLUMN stocks_venue_1m.venue IS
    'Venue as KIS''s questions name it: J (KRX), NX (Nextrade), UN (both)';
COMMENT ON COLUMN stocks_venue_1m.source IS
    'Where the stored values came from first: feed (WebSocket) or rest (an answer of KIS)';
COMMENT ON COLUMN stocks_venue_1m.confirmed_at IS
    'When an answer of KIS first had the values that the feed gave, KST without zone; NULL: not yet, '
    'or source is rest';
SELECT describe_columns('stocks_venue_1m');

-- Beside what it made before: a partition of stocks_venue_1m for a month.
DO $$
DECLARE
    definition text := pg_get_functiondef('make_partition'::regproc);
    changed    text := replace(definition, 'parent IN (''stocks_1m'', ',
                               'parent IN (''stocks_1m'', ''stocks_venue_1m'', ');
BEGIN
    ASSERT changed <> definition;
    EXECUTE changed;
END $$;

COMMENT ON COLUMN kept_sessions.market IS
    'stocks, after, nxt, unified (other venues of stocks), derivatives, night or chain';
COMMENT ON COLUMN gaps.market IS
    'stocks, after, nxt, unified (other venues of stocks), derivatives, night or chain';

-- What sql/roles.sql gives on tables that are there when it runs.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'krt_writer') THEN
        GRANT SELECT, INSERT, UPDATE ON stocks_venue_1m TO krt_writer;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'krt_reader') THEN
        GRANT SELECT ON stocks_venue_1m TO krt_reader;
    END IF;
END $$;

-- migrate:down
-- A system of record goes forward only.
