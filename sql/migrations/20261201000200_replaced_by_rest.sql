-- migrate:up

-- What REST gave, REST alone replaces. Where its new values and the same of the feed came in one commit, the
-- table has the feed's row, confirmed: REST replaced the old one all the same.
CREATE OR REPLACE FUNCTION keep_replaced_bar() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO replaced_bars (
        table_name, timestamp, symbol, open, high, low, close, volume, fetched_at, committed_at,
        replaced_at, new_open, new_high, new_low, new_close, new_volume, source, new_source)
    VALUES (
        TG_ARGV[0], OLD.timestamp, OLD.symbol, OLD.open, OLD.high, OLD.low, OLD.close, OLD.volume,
        OLD.fetched_at, OLD.committed_at, NEW.committed_at,
        NEW.open, NEW.high, NEW.low, NEW.close, NEW.volume, OLD.source,
        CASE WHEN OLD.source = 'rest' AND NEW.confirmed_at IS NOT NULL THEN 'rest'
             ELSE NEW.source END);
    RETURN NULL;
END $$;

-- migrate:down
-- A system of record goes forward only.
