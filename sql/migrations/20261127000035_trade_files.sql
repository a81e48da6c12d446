-- migrate:up

-- Trades are many: a session that is old leaves the database for a Parquet file beside it. This table
-- says which have left, so that nobody takes what has left for what never was.
CREATE TABLE trade_files (
    session  date      PRIMARY KEY,
    rows     bigint    NOT NULL,
    folder   text      NOT NULL,
    moved_at timestamp NOT NULL
);
COMMENT ON TABLE trade_files IS 'Sessions whose trades have left the database for a Parquet file';
COMMENT ON COLUMN trade_files.session IS 'Date of the session';
COMMENT ON COLUMN trade_files.rows IS 'Trades in the file';
COMMENT ON COLUMN trade_files.folder IS 'Folder of the file on the machine that wrote it';
COMMENT ON COLUMN trade_files.moved_at IS 'When the file was written last and the partition dropped, KST without zone';

-- Who may merge may not drop. This drops one partition of trades, and only if it has as many rows as
-- the caller has found in its file.
CREATE FUNCTION drop_trades(day date, known bigint, in_file bigint, kept_in text, at timestamp)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    child text := 'trades_' || to_char(day, 'YYYYMMDD');
    found bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_inherits
                   WHERE inhparent = 'trades'::regclass AND inhrelid = to_regclass(child)) THEN
        RAISE EXCEPTION 'no partition % of trades', child;
    END IF;
    EXECUTE format('SELECT count(*) FROM %I', child) INTO found;
    IF found <> known THEN
        RAISE EXCEPTION '% has % trades, not %', child, found, known;
    END IF;
    EXECUTE format('DROP TABLE %I', child);
    INSERT INTO trade_files VALUES (day, in_file, kept_in, at)
    ON CONFLICT (session) DO UPDATE
        SET rows = excluded.rows, folder = excluded.folder, moved_at = excluded.moved_at;
END $$;
COMMENT ON FUNCTION drop_trades IS
    'Drops a session''s partition of trades that has as many rows as known, and notes it in trade_files';
REVOKE ALL ON FUNCTION drop_trades FROM PUBLIC;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'krt_reader') THEN
        GRANT SELECT ON trade_files TO krt_reader;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'krt_writer') THEN
        GRANT SELECT ON trade_files TO krt_writer;
        GRANT EXECUTE ON FUNCTION drop_trades TO krt_writer;
    END IF;
END $$;

-- migrate:down
-- A system of record goes forward only.
