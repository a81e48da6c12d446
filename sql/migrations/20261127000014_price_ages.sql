-- migrate:up

-- A price carries its age: what did not trade today and has no quotes is a price of yesterday. Rows of
-- before have NULL in both: the age was not looked at; whether they are stale follows from their
-- volume, bid and ask, and everything that is computed again from them leaves such prices out.
ALTER TABLE option_chain_raw
    ADD COLUMN price_since timestamp,
    ADD COLUMN stale_price boolean;

COMMENT ON COLUMN option_chain_raw.price IS
    'Last trade, index points; of an earlier day where stale_price is true';
COMMENT ON COLUMN option_chain_raw.price_since IS
    'First snapshot of the day from which on price and volume have stood, KST without zone: the price '
    'is at least as old; NULL without a price, and before 2026-11-27';
COMMENT ON COLUMN option_chain_raw.stale_price IS
    'Whether the option did not trade today and has not both bid and ask: then its price has no part in '
    'what is derived; NULL where price or volume is unknown, and before 2026-11-27';

-- Partitions that exist already have comments of their own.
DO $$
DECLARE
    part regclass;
    name text;
    meaning text;
BEGIN
    FOR part, name, meaning IN
        SELECT inhrelid::regclass, attname, col_description(attrelid, attnum)
        FROM pg_inherits JOIN pg_attribute ON attrelid = inhparent
        WHERE inhparent = 'option_chain_raw'::regclass
          AND attname IN ('price', 'price_since', 'stale_price')
    LOOP
        EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', part, name, meaning);
    END LOOP;
END $$;

-- migrate:down
-- A system of record goes forward only.
