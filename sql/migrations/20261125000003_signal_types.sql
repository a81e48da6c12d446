-- migrate:up

-- A strategy may have dates and times among its columns, under the type names of the program.
CREATE OR REPLACE FUNCTION make_signal_table(name text, features text[], types text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    columns text := (
        SELECT coalesce(string_agg(format('%I %s, ', feature, type), '' ORDER BY place), '')
        FROM unnest(features, types) WITH ORDINALITY AS given (feature, type, place));
BEGIN
    IF name !~ '^[a-z][a-z0-9_]{0,50}_signal$'
       OR NOT types <@ ARRAY['double precision', 'bigint', 'text', 'boolean', 'date',
                                'timestamp without time zone'] THEN
        RAISE EXCEPTION 'no signal table % with columns %', name, columns;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('make_signal_table:' || name, 0));
    IF to_regclass('public.' || name) IS NOT NULL THEN RETURN; END IF;
    EXECUTE format(
        'CREATE TABLE %I (
             timestamp timestamp NOT NULL, symbol text NOT NULL, close double precision NOT NULL,
             monitor_signal bigint NOT NULL CHECK (monitor_signal IN (-1, 0, 1)),
             trade_signal bigint NOT NULL CHECK (trade_signal IN (-1, 0, 1)),
             reason text NOT NULL, %s
             created_at timestamp NOT NULL, committed_at timestamp NOT NULL,
             PRIMARY KEY (symbol, timestamp))', name, columns);
    EXECUTE format(
        'CREATE TRIGGER announce_signals AFTER INSERT ON %I REFERENCING NEW TABLE AS fresh
         FOR EACH STATEMENT EXECUTE FUNCTION announce_signals()', name);
    EXECUTE format(
        'CREATE TRIGGER keep_given_signal AFTER UPDATE ON %I
         FOR EACH ROW EXECUTE FUNCTION keep_given_signal()', name);
    EXECUTE format('COMMENT ON TABLE %I IS %L', name,
                   'Signals of a strategy, as its stored bars give them; as given at the time: signal_corrections');
    PERFORM describe_columns(name::regclass);
END $$;

-- The earlier comments on these were wrong, or not always right.
COMMENT ON TABLE dolpha1_signal IS
    'Signals of a strategy, as its stored bars give them; as given at the time: signal_corrections';
COMMENT ON COLUMN gaps.market IS 'stocks, derivatives or chain';
COMMENT ON COLUMN system_status.data_count IS
    'Of the collector: rows stored in this run; of kis: calls made; of the spool: batches that wait';

-- migrate:down
-- A system of record goes forward only.
