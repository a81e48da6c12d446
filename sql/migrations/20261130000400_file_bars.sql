-- migrate:up

-- Bars that `just import` brings from a file are of a third source. The old rule is part of the new
-- one, so no row has to be looked at while the tables are locked; the next migration checks them.
DO $$
DECLARE
    bars text;
BEGIN
    FOREACH bars IN ARRAY ARRAY['futures_1m', 'futures_night_1m', 'stocks_1m', 'stocks_venue_1m'] LOOP
        EXECUTE format('ALTER TABLE %I DROP CONSTRAINT %I, ADD CONSTRAINT %I'
                       ' CHECK (source IN (''feed'', ''rest'', ''file'')) NOT VALID',
                       bars, bars || '_source_check', bars || '_source_check');
    END LOOP;
    FOR bars IN
        SELECT parent FROM unnest(ARRAY['futures_1m', 'futures_night_1m', 'stocks_1m',
                                        'stocks_venue_1m']) AS parent
        UNION ALL
        SELECT inhrelid::regclass::text FROM pg_inherits
        WHERE inhparent IN ('futures_1m'::regclass, 'futures_night_1m'::regclass,
                            'stocks_1m'::regclass, 'stocks_venue_1m'::regclass)
    LOOP
        EXECUTE format('COMMENT ON COLUMN %s.source IS %L', bars,
            'Where the stored values came from first: feed (WebSocket), rest (an answer of KIS) or '
            'file (just import)');
        EXECUTE format('COMMENT ON COLUMN %s.confirmed_at IS %L', bars,
            'When an answer of KIS first had the values of the feed or file, KST without zone; NULL: '
            'not yet, or source is rest');
        EXECUTE format('COMMENT ON COLUMN %s.fetched_at IS %L', bars,
            'When KIS''s answer arrived, the feed''s trades were made into the bar, or the file was '
            'imported, KST without zone');
    END LOOP;
END $$;
COMMENT ON COLUMN replaced_bars.source IS 'Where the replaced bar had come from: feed, rest or file';
COMMENT ON COLUMN replaced_bars.new_source IS
    'Where the values that replaced it came from: feed, rest or file';
COMMENT ON COLUMN rejected_rows.tr_id IS 'KIS''s name for the call, or the file of just import';
COMMENT ON COLUMN rejected_rows.raw IS 'The row as KIS sent it or the file has it, JSON';

-- As before, and bars of a file have a line of their own.
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
       CASE WHEN source IN ('feed', 'file') THEN source
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
    'adjustment: for a corporate action; feed, file: bars of the feed or of a file that were replaced; '
    'correction: anything else';

-- migrate:down
-- A system of record goes forward only.
