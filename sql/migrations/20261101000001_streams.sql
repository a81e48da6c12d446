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

-- Partitions are made by whoever first needs one, also by a writer that owns no table. ATTACH takes
-- a lock that neither readers nor writers of the parent notice; CREATE … PARTITION OF would stop
-- them all. `piece` is a product (a01), an underlying (202612_KOSPI200) or a month (202612).
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

-- migrate:down
-- A system of record goes forward only.
