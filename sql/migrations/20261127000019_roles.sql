-- migrate:up

-- Any role may hold an advisory lock, a reader too, and so block every merge. A lock on a row needs the
-- right to change the row. Each merge locks the row of its table; whoever makes a table or partition
-- locks this table itself against others who do.
CREATE TABLE merge_locks (name text PRIMARY KEY);
COMMENT ON TABLE merge_locks IS
    'A row for each table that is merged into, locked while a merge runs; nothing to read here';
COMMENT ON COLUMN merge_locks.name IS 'The table';

DO $$
DECLARE
    called oid;
BEGIN
    FOR called IN
        SELECT oid FROM pg_proc WHERE pronamespace = 'public'::regnamespace
            AND proname IN ('make_partition', 'make_signal_table')
    LOOP
        EXECUTE regexp_replace(pg_get_functiondef(called), 'PERFORM pg_advisory_xact_lock\([^;]*;',
                               'LOCK TABLE merge_locks IN SHARE UPDATE EXCLUSIVE MODE;');
    END LOOP;
END $$;

-- What roles may not do, as far as whoever runs this may say so: roles belong to the whole server, and
-- functions of Postgres to its superuser. `just db-roles` runs it again.
CREATE FUNCTION restrict_roles() RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    called record;
BEGIN
    -- Large objects are in no table, so no right on a table keeps a reader from filling the disk.
    FOR called IN
        SELECT oid::regprocedure AS name, pg_has_role(proowner, 'USAGE') AS ours FROM pg_proc
        WHERE pronamespace = 'pg_catalog'::regnamespace AND proname ~ '^(lo_.*|loread|lowrite)$'
            AND has_function_privilege('public', oid, 'EXECUTE')
    LOOP
        IF NOT called.ours THEN
            RAISE NOTICE 'every role may create large objects: have a superuser run `just db-roles`';
            EXIT;
        END IF;
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', called.name);
    END LOOP;

    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'krt_writer') THEN
        GRANT SELECT, INSERT, UPDATE ON merge_locks TO krt_writer;
        REVOKE UPDATE ON data_origin, simulated_market FROM krt_writer;  -- the first to collect decides
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'krt_reader') THEN
        REVOKE ALL ON merge_locks FROM krt_reader;
        BEGIN
            ALTER ROLE krt_reader CONNECTION LIMIT 20;
            ALTER ROLE krt_reader SET statement_timeout = '5min';
            ALTER ROLE krt_reader SET idle_in_transaction_session_timeout = '5min';
        EXCEPTION
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'krt_reader keeps its limits: whoever made the role may change them';
            WHEN internal_error THEN
                RAISE NOTICE 'krt_reader is being changed by another session';
        END;
    END IF;
END $$;
COMMENT ON FUNCTION restrict_roles IS
    'Takes from readers and writers what no right on a table takes; what needs more rights is left, with a notice';
REVOKE ALL ON FUNCTION restrict_roles FROM PUBLIC;
SELECT restrict_roles();

-- migrate:down
-- A system of record goes forward only.
