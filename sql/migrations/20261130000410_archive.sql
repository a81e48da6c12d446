-- migrate:up

-- A month of stock bars that is sealed and old may leave the database for a Parquet file. This table
-- says which have left, and where the file is, to whoever reads the bars: the row comes in the
-- transaction that drops the partition, so that one of the two is always there.
CREATE TABLE archived_months (
    table_name    text      NOT NULL,
    month         date      NOT NULL,
    rows          bigint    NOT NULL,
    bytes         bigint    NOT NULL,
    sha256        text      NOT NULL,
    first_session date      NOT NULL,
    last_session  date      NOT NULL,
    folder        text      NOT NULL,
    archived_at   timestamp NOT NULL,
    PRIMARY KEY (table_name, month)
);
COMMENT ON TABLE archived_months IS 'Months of bars that have left the database for a Parquet file';
COMMENT ON COLUMN archived_months.table_name IS 'stocks_1m';
COMMENT ON COLUMN archived_months.month IS 'First day of the month';
COMMENT ON COLUMN archived_months.rows IS 'Bars in the file';
COMMENT ON COLUMN archived_months.bytes IS 'Size of the file';
COMMENT ON COLUMN archived_months.sha256 IS 'Hash of the file''s bytes';
COMMENT ON COLUMN archived_months.first_session IS 'First session that has bars in the file';
COMMENT ON COLUMN archived_months.last_session IS 'Last session that has bars in the file';
COMMENT ON COLUMN archived_months.folder IS
    'Folder of the archive on the machine that wrote it; the file is below it';
COMMENT ON COLUMN archived_months.archived_at IS
    'When the file was written last and the partition dropped, KST without zone';

-- Who may merge may not drop. This drops one partition of stocks_1m, and only if it has as many rows as
-- the caller has found in its file.
CREATE FUNCTION drop_archived_month(month_begin date, known bigint, told archived_months)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    child text := 'stocks_1m_' || to_char(month_begin, 'YYYYMM');
    found bigint;
BEGIN
    IF told.table_name <> 'stocks_1m' OR told.month <> month_begin OR NOT EXISTS (
        SELECT FROM pg_inherits
        WHERE inhparent = 'stocks_1m'::regclass AND inhrelid = to_regclass(child)) THEN
        RAISE EXCEPTION 'no partition % of stocks_1m', child;
    END IF;
    EXECUTE format('SELECT count(*) FROM %I', child) INTO found;
    IF found <> known THEN
        RAISE EXCEPTION '% has % bars, not %', child, found, known;
    END IF;
    EXECUTE format('DROP TABLE %I', child);
    INSERT INTO archived_months VALUES (told.*)
    ON CONFLICT (table_name, month) DO UPDATE
        SET rows = excluded.rows, bytes = excluded.bytes, sha256 = excluded.sha256,
            first_session = excluded.first_session, last_session = excluded.last_session,
            folder = excluded.folder, archived_at = excluded.archived_at;
END $$;
COMMENT ON FUNCTION drop_archived_month IS
    'Drops a month of stocks_1m that has as many rows as known, and notes it in archived_months';
REVOKE ALL ON FUNCTION drop_archived_month FROM PUBLIC;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'krt_reader') THEN
        GRANT SELECT ON archived_months TO krt_reader;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'krt_writer') THEN
        GRANT SELECT ON archived_months TO krt_writer;
        REVOKE INSERT, UPDATE ON archived_months FROM krt_writer;
        GRANT EXECUTE ON FUNCTION drop_archived_month TO krt_writer;
    END IF;
END $$;

-- migrate:down
-- A system of record goes forward only.
