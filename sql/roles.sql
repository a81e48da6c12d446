-- Roles with least privileges. Run this as the owner of the tables (the user of the migrations), and
-- again after a migration that adds tables; existing roles and rights stay as they are:
--
--     just db-roles | psql "$KRT_DATABASE_URL"
--
-- and then give the roles passwords, which are not written here: \password krt_reader
--
-- krt_reader  reads everything: research, dashboards. It has 20 connections at most, ends a statement
--             or an idle transaction after five minutes, and holds no lock that a merge waits for.
-- krt_writer  merges: reads, inserts, updates what may be corrected. It cannot delete, truncate,
--             drop or alter; history (replaced bars, signals given) it cannot change, nor whether
--             the data are real. It makes partitions and strategies' tables through functions of
--             the owner, and drops a session of trades or a month of
--             bars that has left for a file.
--
-- Large objects are everybody's unless a superuser runs this once; a notice says so.

DO $$
DECLARE
    role     text;
    relation regclass;
BEGIN
    FOREACH role IN ARRAY ARRAY['krt_reader', 'krt_writer'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            BEGIN  -- roles belong to the whole server: a session of another database may make them now
                EXECUTE format('CREATE ROLE %I LOGIN', role);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                RAISE NOTICE 'role % has just been made', role;
            END;
        END IF;
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), role);
        EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', role);
        EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA public TO %I', role);
        EXECUTE format(
            'ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO %I', role);
    END LOOP;

    REVOKE CREATE ON SCHEMA public FROM PUBLIC;
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO krt_writer', current_database());
    GRANT EXECUTE ON FUNCTION make_partition, make_signal_table, forget_gaps, drop_trades,
        drop_archived_month, drop_market_snapshots TO krt_writer;
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT INSERT, UPDATE ON TABLES TO krt_writer;

    -- Partitions are reached through their parents, whose privileges are checked.
    FOR relation IN
        SELECT oid FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
          AND NOT relispartition
          AND relname NOT IN ('schema_migrations', 'replaced_bars', 'removed_bars',
                              'signal_corrections', 'archived_months')
    LOOP
        EXECUTE format('GRANT INSERT ON %s TO krt_writer', relation);
        EXECUTE format('GRANT UPDATE ON %s TO krt_writer', relation);
    END LOOP;

    PERFORM restrict_roles();
END $$;
