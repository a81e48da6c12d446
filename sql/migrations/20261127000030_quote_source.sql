-- migrate:up

-- Each option of a snapshot has the newest quote that there was: of the board, of a call for it alone, or
-- of the feed. Rows of before have NULL: those with a bid or an ask are of the board.
ALTER TABLE option_chain_raw ADD COLUMN quote_source text;

COMMENT ON COLUMN option_chain_raw.quote_source IS
    'Where the row''s values come from: board, single (a call for this option alone) or feed (its last '
    'trade by the WebSocket); NULL without a quote, and before 2026-11-27';
COMMENT ON COLUMN option_chain_raw.quoted_at IS
    'When the row''s own quote arrived, KST without zone, so how old it is; of the feed the exchange''s '
    'time of the trade, in whole seconds';

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
        WHERE inhparent = 'option_chain_raw'::regclass AND attname IN ('quoted_at', 'quote_source')
    LOOP
        EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', part, name, meaning);
    END LOOP;
END $$;

-- migrate:down
-- A system of record goes forward only.
