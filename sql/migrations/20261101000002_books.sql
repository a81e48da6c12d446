-- migrate:up

CREATE TABLE system_status (
    component      text      PRIMARY KEY,
    timestamp      timestamp NOT NULL,
    status         text      NOT NULL,
    message        text,
    data_count     bigint,
    last_data_time timestamp,
    committed_at   timestamp NOT NULL
);

-- A row that is rejected again (a board is polled every minute) is counted, not stored again.
CREATE TABLE rejected_rows (
    received_at       timestamp NOT NULL,
    tr_id             text      NOT NULL,
    symbol            text      NOT NULL,
    reason            text      NOT NULL,
    raw               text      NOT NULL,
    first_received_at timestamp NOT NULL,
    times             bigint    NOT NULL DEFAULT 1,
    committed_at      timestamp NOT NULL,
    raw_md5           text      NOT NULL GENERATED ALWAYS AS (md5(raw)) STORED,
    PRIMARY KEY (tr_id, symbol, reason, raw_md5)
);

CREATE TABLE gaps (
    symbol       text      NOT NULL,
    session      date      NOT NULL,
    market       text      NOT NULL,
    first_stamp  timestamp NOT NULL,
    last_stamp   timestamp NOT NULL,
    stamps       bigint    NOT NULL CHECK (stamps > 0),
    state        text      NOT NULL
                 CHECK (state IN ('open', 'filled', 'no_trade', 'unavailable')),
    attempts     bigint    NOT NULL,
    reason       text,
    opened_at    timestamp NOT NULL,
    updated_at   timestamp NOT NULL,
    committed_at timestamp NOT NULL,
    PRIMARY KEY (symbol, session, first_stamp)
);
CREATE INDEX ON gaps (session, symbol) WHERE state = 'open';

CREATE TABLE replaced_bars (
    id           bigint           GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    table_name   text             NOT NULL,
    timestamp    timestamp        NOT NULL,
    symbol       text             NOT NULL,
    open         double precision NOT NULL,
    high         double precision NOT NULL,
    low          double precision NOT NULL,
    close        double precision NOT NULL,
    volume       bigint           NOT NULL,
    fetched_at   timestamp        NOT NULL,
    committed_at timestamp        NOT NULL,
    replaced_at  timestamp        NOT NULL,
    new_open     double precision NOT NULL,
    new_high     double precision NOT NULL,
    new_low      double precision NOT NULL,
    new_close    double precision NOT NULL,
    new_volume   bigint           NOT NULL
);
CREATE INDEX ON replaced_bars (symbol, timestamp);
CREATE INDEX ON replaced_bars (replaced_at);

-- A trigger keeps the old bar. So neither the merge nor a change by hand can lose it, and no writer
-- needs the right to change the history.
CREATE FUNCTION keep_replaced_bar() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO replaced_bars (
        table_name, timestamp, symbol, open, high, low, close, volume, fetched_at, committed_at,
        replaced_at, new_open, new_high, new_low, new_close, new_volume)
    VALUES (
        TG_ARGV[0], OLD.timestamp, OLD.symbol, OLD.open, OLD.high, OLD.low, OLD.close, OLD.volume,
        OLD.fetched_at, OLD.committed_at, NEW.committed_at,
        NEW.open, NEW.high, NEW.low, NEW.close, NEW.volume);
    RETURN NULL;
END $$;

CREATE TRIGGER keep_replaced_bar AFTER UPDATE ON futures_1m FOR EACH ROW
    WHEN ((OLD.open, OLD.high, OLD.low, OLD.close, OLD.volume)
          IS DISTINCT FROM (NEW.open, NEW.high, NEW.low, NEW.close, NEW.volume))
    EXECUTE FUNCTION keep_replaced_bar('futures_1m');
CREATE TRIGGER keep_replaced_bar AFTER UPDATE ON stocks_1m FOR EACH ROW
    WHEN ((OLD.open, OLD.high, OLD.low, OLD.close, OLD.volume)
          IS DISTINCT FROM (NEW.open, NEW.high, NEW.low, NEW.close, NEW.volume))
    EXECUTE FUNCTION keep_replaced_bar('stocks_1m');

-- One line for each session that a commit corrected. Ten or more bars of a stock that all moved by
-- one factor, to the rounding of KRW prices, are an adjustment for a corporate action.
CREATE VIEW corrections AS
WITH factors AS (
    SELECT table_name, symbol, timestamp::date AS session, replaced_at,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY new_close / nullif(close, 0)) AS factor
    FROM replaced_bars
    GROUP BY table_name, symbol, timestamp::date, replaced_at
)
SELECT table_name, symbol, session, replaced_at, count(*) AS bars,
       CASE WHEN table_name = 'stocks_1m' AND count(*) >= 10 AND abs(factor - 1) > 0.001
             AND bool_and(greatest(
                     abs(new_open - open * factor), abs(new_high - high * factor),
                     abs(new_low - low * factor), abs(new_close - close * factor)) <= 1.0)
            THEN 'adjustment' ELSE 'correction' END AS kind,
       factor
FROM replaced_bars
JOIN factors USING (table_name, symbol, replaced_at)
WHERE timestamp::date = session
GROUP BY table_name, symbol, session, replaced_at, factor;

-- A late or corrected bar changes signals that were given already. Their table then has what follows
-- from the bars now; the row as it was given, which is what was known then, is kept here.
CREATE TABLE signal_corrections (
    table_name   text      NOT NULL,
    timestamp    timestamp NOT NULL,
    symbol       text      NOT NULL,
    given        jsonb     NOT NULL,
    corrected    jsonb     NOT NULL,
    recorded_at  timestamp NOT NULL,
    PRIMARY KEY (table_name, symbol, timestamp, recorded_at)
);

CREATE FUNCTION keep_given_signal() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO signal_corrections (table_name, timestamp, symbol, given, corrected, recorded_at)
    VALUES (TG_TABLE_NAME, OLD.timestamp, OLD.symbol, to_jsonb(OLD), to_jsonb(NEW), NEW.committed_at)
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

CREATE FUNCTION announce_signals() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Signals of past sessions, computed later, were never given to anyone.
    PERFORM pg_notify(TG_TABLE_NAME, to_jsonb(fresh)::text)
    FROM fresh
    WHERE trade_signal <> 0 AND created_at < timestamp + interval '1 hour'
    ORDER BY timestamp, symbol;
    RETURN NULL;
END $$;

-- Every strategy's table has the same columns around its own features.
CREATE FUNCTION make_signal_table(name text, features text[], types text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    columns text := (
        SELECT coalesce(string_agg(format('%I %s, ', feature, type), '' ORDER BY place), '')
        FROM unnest(features, types) WITH ORDINALITY AS given (feature, type, place));
BEGIN
    IF name !~ '^[a-z][a-z0-9_]{0,50}_signal$'
       OR NOT types <@ ARRAY['double precision', 'bigint', 'text', 'boolean', 'timestamp'] THEN
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

SELECT make_signal_table(
    'dolpha1_signal',
    ARRAY['ub', 'lb', 'atr', 'move_open', 'sigma_open', 'vwap', 'min_from_open'],
    ARRAY['double precision', 'double precision', 'double precision', 'double precision',
          'double precision', 'double precision', 'bigint']);

-- Which symbols a strategy has run on: front months roll.
CREATE TABLE strategy_symbols (
    strategy     text      NOT NULL,
    symbol       text      NOT NULL,
    since        timestamp NOT NULL,
    committed_at timestamp NOT NULL,
    PRIMARY KEY (strategy, symbol)
);

CREATE VIEW dolpha1 AS
SELECT timestamp, symbol, open, high, low, close, volume
FROM futures_1m
WHERE symbol IN (SELECT symbol FROM strategy_symbols WHERE strategy = 'dolpha1');

-- migrate:down
-- A system of record goes forward only.
