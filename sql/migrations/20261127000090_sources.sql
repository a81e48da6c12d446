-- migrate:up

-- Where each bar came from first: by the feed (WebSocket) or from an answer of REST; and when REST gave
-- the same values as the feed. All bars of before are REST's. The default costs no rewriting of the
-- table, and is right for whoever brings in bars by hand.
ALTER TABLE futures_1m
    ADD COLUMN source text NOT NULL DEFAULT 'rest' CHECK (source IN ('feed', 'rest')),
    ADD COLUMN confirmed_at timestamp;
ALTER TABLE futures_night_1m
    ADD COLUMN source text NOT NULL DEFAULT 'rest' CHECK (source IN ('feed', 'rest')),
    ADD COLUMN confirmed_at timestamp;
ALTER TABLE stocks_1m
    ADD COLUMN source text NOT NULL DEFAULT 'rest' CHECK (source IN ('feed', 'rest')),
    ADD COLUMN confirmed_at timestamp;

DO $$
DECLARE
    relation regclass;
BEGIN
    FOR relation IN
        SELECT oid::regclass FROM pg_class
        WHERE oid IN ('futures_1m'::regclass, 'futures_night_1m'::regclass, 'stocks_1m'::regclass)
        UNION ALL
        SELECT inhrelid::regclass FROM pg_inherits
        WHERE inhparent IN ('futures_1m'::regclass, 'futures_night_1m'::regclass, 'stocks_1m'::regclass)
    LOOP
        EXECUTE format('COMMENT ON COLUMN %s.source IS %L', relation,
            'Where the stored values came from first: feed (WebSocket) or rest (an answer of KIS)');
        EXECUTE format('COMMENT ON COLUMN %s.confirmed_at IS %L', relation,
            'When an answer of KIS first had the values that the feed gave, KST without zone; NULL: '
            'not yet, or source is rest');
        EXECUTE format('COMMENT ON COLUMN %s.fetched_at IS %L', relation,
            'When KIS''s answer arrived, or when the feed''s trades were made into the bar, KST '
            'without zone');
    END LOOP;
END $$;

ALTER TABLE replaced_bars
    ADD COLUMN source text NOT NULL DEFAULT 'rest',
    ADD COLUMN new_source text NOT NULL DEFAULT 'rest';
ALTER TABLE replaced_bars
    ALTER COLUMN source DROP DEFAULT,
    ALTER COLUMN new_source DROP DEFAULT;
COMMENT ON TABLE replaced_bars IS
    'Bars as they were before an answer of KIS replaced them; written by a trigger, never changed';
COMMENT ON COLUMN replaced_bars.source IS 'Where the replaced bar had come from: feed or rest';
COMMENT ON COLUMN replaced_bars.new_source IS 'Where the values that replaced it came from: feed or rest';

CREATE OR REPLACE FUNCTION keep_replaced_bar() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO replaced_bars (
        table_name, timestamp, symbol, open, high, low, close, volume, fetched_at, committed_at,
        replaced_at, new_open, new_high, new_low, new_close, new_volume, source, new_source)
    VALUES (
        TG_ARGV[0], OLD.timestamp, OLD.symbol, OLD.open, OLD.high, OLD.low, OLD.close, OLD.volume,
        OLD.fetched_at, OLD.committed_at, NEW.committed_at,
        NEW.open, NEW.high, NEW.low, NEW.close, NEW.volume, OLD.source, NEW.source);
    RETURN NULL;
END $$;

-- As before, and bars of the feed have a line of their own.
CREATE OR REPLACE VIEW corrections AS
WITH replaced AS (
    SELECT *, (timestamp - CASE WHEN table_name = 'futures_night_1m' THEN interval '12 hours'
                                ELSE interval '0' END)::date AS session
    FROM replaced_bars
), factors AS (
    SELECT table_name, symbol, session, replaced_at, source,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY new_close / nullif(close, 0)) AS factor
    FROM replaced
    GROUP BY table_name, symbol, session, replaced_at, source
)
SELECT table_name, symbol, session, replaced_at, count(*) AS bars,
       CASE WHEN source = 'feed' THEN 'feed'
            WHEN table_name = 'stocks_1m' AND count(*) >= 10 AND abs(factor - 1) > 0.001
             AND bool_and(greatest(
                     abs(new_open - open * factor), abs(new_high - high * factor),
                     abs(new_low - low * factor), abs(new_close - close * factor)) <= 1.0)
            THEN 'adjustment' ELSE 'correction' END AS kind,
       factor
FROM replaced
JOIN factors USING (table_name, symbol, session, replaced_at, source)
GROUP BY table_name, symbol, session, replaced_at, source, factor;
COMMENT ON COLUMN corrections.kind IS
    'adjustment: for a corporate action; feed: bars of the feed that an answer of KIS replaced; '
    'correction: anything else';

-- Why a signal changed: because a bar of the feed was replaced after it had been given, or because KIS
-- gave a bar late or corrected it.
ALTER TABLE signal_corrections ADD COLUMN cause text NOT NULL DEFAULT 'rest';
ALTER TABLE signal_corrections ALTER COLUMN cause DROP DEFAULT;
COMMENT ON COLUMN signal_corrections.cause IS
    'feed: an answer of KIS replaced a bar of the feed after the signal had been given; rest: KIS '
    'gave a bar late or corrected one';

CREATE OR REPLACE FUNCTION keep_given_signal() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO signal_corrections (
        table_name, timestamp, symbol, given, corrected, recorded_at, cause)
    VALUES (
        TG_TABLE_NAME, OLD.timestamp, OLD.symbol, to_jsonb(OLD), to_jsonb(NEW), NEW.committed_at,
        CASE WHEN EXISTS (
            SELECT FROM replaced_bars AS r
            WHERE r.symbol = OLD.symbol AND r.timestamp <= OLD.timestamp AND r.source = 'feed'
              AND r.replaced_at > OLD.committed_at AND r.replaced_at <= NEW.committed_at)
        THEN 'feed' ELSE 'rest' END)
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

-- migrate:down
-- A system of record goes forward only.
