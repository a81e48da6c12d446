-- migrate:up

-- What the board and the feed say beside the quotes: who bought and sold, for how much money, and how much waits.
ALTER TABLE option_chain_raw
    ADD COLUMN bid_size bigint,
    ADD COLUMN ask_size bigint,
    ADD COLUMN turnover double precision,
    ADD COLUMN bought bigint,
    ADD COLUMN sold bigint,
    ADD COLUMN index_price double precision;
COMMENT ON COLUMN option_chain_raw.bid_size IS 'Contracts at the best bid; NULL of a single quote';
COMMENT ON COLUMN option_chain_raw.ask_size IS 'Contracts at the best ask; NULL of a single quote';
COMMENT ON COLUMN option_chain_raw.turnover IS 'KRW traded today so far';
COMMENT ON COLUMN option_chain_raw.bought IS 'Contracts today so far of which the buyer came to the ask; only from the feed';
COMMENT ON COLUMN option_chain_raw.sold IS 'Contracts today so far of which the seller came to the bid; only from the feed';
COMMENT ON COLUMN option_chain_raw.index_price IS 'Index points, the index that the options are on; NULL at night';

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
        WHERE inhparent = 'option_chain_raw'::regclass AND attname IN ('bid_size', 'ask_size', 'turnover', 'bought',
            'sold', 'index_price')
    LOOP
        EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', part, name, meaning);
    END LOOP;
END $$;

-- migrate:down
-- A system of record goes forward only.
