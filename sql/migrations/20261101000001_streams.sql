-- migrate:up

-- All times are KST without zone. A bar's timestamp is the end of its minute; the closing auction
-- keeps its own label. fetched_at: when KIS's answer arrived; committed_at: when it was merged.
-- Keys begin with the symbol: histories are read by symbol and time. Minutes are read across
-- symbols by time, for which a BRIN index costs next to nothing.

CREATE TABLE futures_1m (
    timestamp    timestamp        NOT NULL,
    symbol       text             NOT NULL,
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
CREATE INDEX ON futures_1m USING brin (timestamp) WITH (pages_per_range = 32);

CREATE TABLE stocks_1m (
    timestamp    timestamp        NOT NULL,
    symbol       text             NOT NULL,
    timeframe    text             NOT NULL,
    open         double precision NOT NULL,
    high         double precision NOT NULL,
    low          double precision NOT NULL,
    close        double precision NOT NULL,
    volume       bigint           NOT NULL,
    fetched_at   timestamp        NOT NULL,
    committed_at timestamp        NOT NULL,
    PRIMARY KEY (symbol, timestamp, timeframe)
) PARTITION BY RANGE (timestamp);
CREATE INDEX ON stocks_1m USING brin (timestamp) WITH (pages_per_range = 32);

CREATE TABLE option_chain_raw (
    timestamp             timestamp NOT NULL,
    underlying_symbol     text      NOT NULL,
    symbol                text      NOT NULL,
    option_type           text      NOT NULL CHECK (option_type IN ('C', 'P')),
    strike                double precision NOT NULL,
    price                 double precision,
    bid                   double precision,
    ask                   double precision,
    volume                bigint,
    open_interest         bigint,
    iv                    double precision,
    historical_volatility double precision,
    delta                 double precision,
    gamma                 double precision,
    vega                  double precision,
    theta                 double precision,
    rho                   double precision,
    theoretical_price     double precision,
    atm_class             text,
    underlying_price      double precision,
    underlying_source     text,
    quoted_at             timestamp,
    fetched_at            timestamp NOT NULL,
    committed_at          timestamp NOT NULL,
    PRIMARY KEY (underlying_symbol, timestamp, symbol)
) PARTITION BY RANGE (timestamp);

DO $$
DECLARE
    levels text := (
        SELECT string_agg(side || '_' || level || ' double precision', ', ' ORDER BY side, place)
        FROM unnest(ARRAY['c', 'p']) AS side,
             LATERAL (
                 SELECT 'itm' || n AS level, -n AS place FROM generate_series(1, 10) AS n
                 UNION ALL SELECT 'atm', 0
                 UNION ALL SELECT 'otm' || n, n FROM generate_series(1, 10) AS n
             ) AS levels);
BEGIN
    EXECUTE format(
        'CREATE TABLE option_matrices (
             timestamp timestamp NOT NULL, underlying_symbol text NOT NULL,
             metric_type text NOT NULL, %s,
             fetched_at timestamp NOT NULL, committed_at timestamp NOT NULL,
             PRIMARY KEY (underlying_symbol, timestamp, metric_type)
         ) PARTITION BY LIST (underlying_symbol)', levels);
END $$;

CREATE TABLE option_summary (
    timestamp                    timestamp NOT NULL,
    underlying_symbol            text      NOT NULL,
    underlying_price             double precision,
    forward                      double precision,
    atm_strike                   double precision,
    atm_volatility               double precision,
    risk_reversal_25d            double precision,
    butterfly_25d                double precision,
    put_call_volume_ratio        double precision,
    put_call_open_interest_ratio double precision,
    max_pain                     double precision,
    gamma_exposure               double precision,
    zero_gamma                   double precision,
    days_to_expiry               double precision,
    flags                        text,
    fetched_at                   timestamp NOT NULL,
    committed_at                 timestamp NOT NULL,
    PRIMARY KEY (underlying_symbol, timestamp)
) PARTITION BY LIST (underlying_symbol);

-- A partition is made when it is first needed, also by a writer that does not own the tables. ATTACH
-- takes a lock that neither readers nor writers of the parent notice; CREATE … PARTITION OF would
-- stop them all. `piece` is a product (a01), an underlying (202612_KOSPI200) or a month (202612).
CREATE FUNCTION make_partition(parent text, piece text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    base  text := CASE parent WHEN 'futures_1m' THEN 'futures' ELSE parent END;
    child text := base || '_' || lower(piece);
    month date;
    bounds text;
BEGIN
    IF parent IN ('stocks_1m', 'option_chain_raw') AND piece ~ '^[0-9]{6}$' THEN
        month := to_date(piece, 'YYYYMM');
        bounds := format('FROM (%L) TO (%L)', month, month + interval '1 month');
    ELSIF parent = 'futures_1m' AND piece ~ '^[a-z0-9]{3}$'
       OR parent IN ('option_matrices', 'option_summary') AND piece ~ '^[0-9]{6}_[A-Z0-9_]{1,40}$'
    THEN
        bounds := format('IN (%L)', piece);
    ELSE
        RAISE EXCEPTION 'no partition % of %', piece, parent;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('make_partition:' || child, 0));
    IF to_regclass('public.' || child) IS NULL THEN
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', child, parent);
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES %s', parent, child, bounds);
    END IF;
END $$;

COMMENT ON FUNCTION make_partition IS
    'Makes a partition unless it exists; safe under concurrency. piece: product, underlying, YYYYMM';

-- Columns that mean the same everywhere are described once; a column that has a comment keeps it.
CREATE FUNCTION describe_columns(relation regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    price text := CASE WHEN relation::text LIKE 'stocks%' THEN 'KRW'
                       WHEN relation::text LIKE 'replaced%' THEN 'index points or KRW'
                       ELSE 'index points' END;
    common jsonb := jsonb_build_object(
        'timestamp', 'End of the minute, KST without zone; auctions keep their own label',
        'symbol', 'Code at KRX',
        'underlying_symbol', 'Maturity and underlying: 202612_KOSPI200',
        'open', 'First price of the minute, ' || price,
        'high', 'Highest price of the minute, ' || price,
        'low', 'Lowest price of the minute, ' || price,
        'close', 'Last price of the minute, ' || price,
        'volume', 'Contracts or shares traded in the minute',
        'new_open', 'What open became', 'new_high', 'What high became',
        'new_low', 'What low became', 'new_close', 'What close became',
        'new_volume', 'What volume became',
        'monitor_signal', 'Signal of the bar: 1 long, -1 short, 0 none',
        'trade_signal', 'monitor_signal at observation minutes, 0 between',
        'reason', 'Why the signal is what it is',
        'fetched_at', 'When KIS''s answer arrived, KST without zone',
        'created_at', 'When it was computed, KST without zone',
        'committed_at', 'When it was merged, KST without zone',
        'session', 'Trading day', 'bars', 'Bars replaced',
        'kind', 'adjustment: for a corporate action; correction: anything else',
        'factor', 'Median of new close over old close',
        'table_name', 'futures_1m or stocks_1m',
        'replaced_at', 'When the merge was made, KST without zone',
        'product', 'Product: first three characters of a code',
        'first_day', 'First session in front, the one after the roll',
        'last_day', 'Last session in front, its expiry',
        'next_symbol', 'Code of the contract that follows',
        'roll_day', 'First session of the contract that follows',
        'difference', 'What the following contract cost more at the roll, index points',
        'adjustment', 'Sum of all differences from here on, index points',
        'adjusted_open', 'open + adjustment, index points',
        'adjusted_high', 'high + adjustment, index points',
        'adjusted_low', 'low + adjustment, index points',
        'adjusted_close', 'close + adjustment, index points');
    name text;
    meaning text;
BEGIN
    FOR name IN
        SELECT attname FROM pg_attribute
        WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped
          AND col_description(relation, attnum) IS NULL
    LOOP
        meaning := coalesce(
            common ->> name,
            CASE WHEN name ~ '^[cp]_(itm|otm)[0-9]+$' OR name ~ '^[cp]_atm$' THEN
                CASE left(name, 1) WHEN 'c' THEN 'Call' ELSE 'Put' END
                || CASE WHEN name ~ 'atm' THEN ' at the money'
                        ELSE format(', %s strike(s) %s the money', substring(name FROM '[0-9]+$'),
                                    CASE WHEN name ~ 'itm' THEN 'in' ELSE 'out of' END) END
                || '; unit of metric_type' END,
            CASE WHEN relation::text LIKE '%_signal' THEN 'Feature of the strategy' END);
        IF meaning IS NOT NULL THEN
            EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', relation, name, meaning);
        END IF;
    END LOOP;
END $$;

-- migrate:down
-- A system of record goes forward only.
