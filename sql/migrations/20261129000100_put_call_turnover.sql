-- migrate:up

-- Puts over calls by the money paid for them, beside those of volume and open interest.
ALTER TABLE option_summary ADD COLUMN put_call_turnover_ratio double precision;
COMMENT ON COLUMN option_summary.put_call_turnover_ratio IS 'Put turnover over call turnover, of the day so far; NULL where KIS did not tell it';

-- Partitions that exist already have comments of their own.
DO $$
DECLARE
    part regclass;
    meaning text;
BEGIN
    FOR part, meaning IN
        SELECT inhrelid::regclass, col_description(attrelid, attnum)
        FROM pg_inherits JOIN pg_attribute ON attrelid = inhparent
        WHERE inhparent = 'option_summary'::regclass AND attname = 'put_call_turnover_ratio'
    LOOP
        EXECUTE format('COMMENT ON COLUMN %s.put_call_turnover_ratio IS %L', part, meaning);
    END LOOP;
END $$;

-- migrate:down
-- A system of record goes forward only.
