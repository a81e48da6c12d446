-- migrate:up

-- Bars of nights have a table of their own, under symbols of their own (A01612_NIGHT): no query about
-- days can reach one by accident.
CREATE TABLE futures_night_1m (
    timestamp    timestamp        NOT NULL,
    symbol       text             NOT NULL CHECK (symbol LIKE '%\_NIGHT'),
    open         double precision NOT NULL,
    high         double precision NOT NULL,
    low          double precision NOT NULL,
    close        double precision NOT NULL,
    volume       bigint           NOT NULL,
    fetched_at   timestamp        NOT NULL,
    committed_at timestamp        NOT NULL,
    product      text             NOT NULL CHECK (product = lower(left(symbol, 3))),
    PRIMARY KEY (symbol, timestamp, product)
) PARTITION BY LIST (product);
CREATE INDEX ON futures_night_1m USING brin (timestamp) WITH (pages_per_range = 32);
CREATE TRIGGER keep_replaced_bar AFTER UPDATE ON futures_night_1m FOR EACH ROW
    WHEN ((OLD.open, OLD.high, OLD.low, OLD.close, OLD.volume)
          IS DISTINCT FROM (NEW.open, NEW.high, NEW.low, NEW.close, NEW.volume))
    EXECUTE FUNCTION keep_replaced_bar('futures_night_1m');
COMMENT ON TABLE futures_night_1m IS
    'Minute bars of futures at night, 18:01 … 06:00; a night is named by the date on which it begins';
COMMENT ON COLUMN futures_night_1m.timestamp IS
    'End of the minute, KST without zone, after midnight of the next date; the auction is at 06:00';
COMMENT ON COLUMN futures_night_1m.symbol IS 'The nights of a contract: its code at KRX and _NIGHT';
SELECT describe_columns('futures_night_1m');

-- Beside what it made before: a partition of futures_night_1m for a product.
DO $$
DECLARE
    definition text := pg_get_functiondef('make_partition'::regproc);
    changed    text := replace(replace(definition,
        'WHEN ''futures_1m'' THEN ''futures''',
        'WHEN ''futures_1m'' THEN ''futures'' WHEN ''futures_night_1m'' THEN ''futures_night'''),
        'parent = ''futures_1m'' AND piece',
        'parent IN (''futures_1m'', ''futures_night_1m'') AND piece');
BEGIN
    EXECUTE changed;
END $$;

-- A night's bars after midnight belong to the evening before.
CREATE OR REPLACE VIEW corrections AS
WITH replaced AS (
    SELECT *, (timestamp - CASE WHEN table_name = 'futures_night_1m' THEN interval '12 hours'
                                ELSE interval '0' END)::date AS session
    FROM replaced_bars
), factors AS (
    SELECT table_name, symbol, session, replaced_at,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY new_close / nullif(close, 0)) AS factor
    FROM replaced
    GROUP BY table_name, symbol, session, replaced_at
)
SELECT table_name, symbol, session, replaced_at, count(*) AS bars,
       CASE WHEN table_name = 'stocks_1m' AND count(*) >= 10 AND abs(factor - 1) > 0.001
             AND bool_and(greatest(
                     abs(new_open - open * factor), abs(new_high - high * factor),
                     abs(new_low - low * factor), abs(new_close - close * factor)) <= 1.0)
            THEN 'adjustment' ELSE 'correction' END AS kind,
       factor
FROM replaced
JOIN factors USING (table_name, symbol, session, replaced_at)
GROUP BY table_name, symbol, session, replaced_at, factor;

COMMENT ON COLUMN kept_sessions.market IS 'stocks, derivatives, night or chain';

-- What sql/roles.sql gives on tables that are there when it runs.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'krt_writer') THEN
        GRANT SELECT, INSERT, UPDATE ON futures_night_1m TO krt_writer;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'krt_reader') THEN
        GRANT SELECT ON futures_night_1m TO krt_reader;
    END IF;
END $$;

-- migrate:down
-- A system of record goes forward only.
