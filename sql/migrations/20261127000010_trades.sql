-- migrate:up

-- Every trade that the feed gave. The volume of the session grows with every trade, so it names a trade
-- (one that comes twice after a reconnect is the same) and orders those of one second.
CREATE TABLE trades (
    session       date             NOT NULL,
    symbol        text             NOT NULL,
    traded_at     timestamp        NOT NULL,
    received_at   timestamp        NOT NULL,
    price         double precision NOT NULL,
    size          bigint           NOT NULL,
    side          text,
    day_volume    bigint           NOT NULL,
    day_turnover  double precision,
    day_bought    bigint,
    day_sold      bigint,
    bid           double precision,
    ask           double precision,
    bid_size      bigint,
    ask_size      bigint,
    open_interest bigint,
    limit_state   text,
    committed_at  timestamp        NOT NULL,
    PRIMARY KEY (symbol, session, day_volume)
) PARTITION BY LIST (session);
COMMENT ON TABLE trades IS 'Trades as KIS''s feed gave them, one partition a session';
COMMENT ON COLUMN trades.session IS 'Date of the session; the trades of a night keep it past midnight';
COMMENT ON COLUMN trades.symbol IS 'Code at KRX';
COMMENT ON COLUMN trades.traded_at IS 'When it was traded by the exchange''s clock, whole seconds, KST';
COMMENT ON COLUMN trades.received_at IS 'When the frame arrived, KST without zone';
COMMENT ON COLUMN trades.price IS 'Index points; of stocks KRW';
COMMENT ON COLUMN trades.size IS 'Contracts or shares';
COMMENT ON COLUMN trades.side IS 'B: the buyer came to the ask, S: the seller to the bid, NULL: unknown, as in auctions';
COMMENT ON COLUMN trades.day_volume IS 'Volume of the session after this trade, contracts or shares';
COMMENT ON COLUMN trades.day_turnover IS 'Turnover of the session after this trade, KRW';
COMMENT ON COLUMN trades.day_bought IS 'Volume of the session by trades of side B';
COMMENT ON COLUMN trades.day_sold IS 'Volume of the session by trades of side S';
COMMENT ON COLUMN trades.bid IS 'Best bid, index points; of stocks KRW';
COMMENT ON COLUMN trades.ask IS 'Best ask, index points; of stocks KRW';
COMMENT ON COLUMN trades.bid_size IS 'Contracts or shares at the best bid';
COMMENT ON COLUMN trades.ask_size IS 'Contracts or shares at the best ask';
COMMENT ON COLUMN trades.open_interest IS 'Contracts; NULL for stocks';
COMMENT ON COLUMN trades.limit_state IS 'As KIS gives it: state of the price limits of futures, halt of stocks';
COMMENT ON COLUMN trades.committed_at IS 'When it was merged, KST without zone';

-- Beside what it made before: a partition of trades for a session (YYYYMMDD).
CREATE OR REPLACE FUNCTION make_partition(parent text, piece text) RETURNS void
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
    ELSIF parent = 'trades' AND piece ~ '^[0-9]{8}$' THEN
        bounds := format('IN (%L)', to_date(piece, 'YYYYMMDD'));
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
    'Makes a partition unless it exists; safe under concurrency. piece: product, underlying, YYYYMM, YYYYMMDD';

-- migrate:down
-- A system of record goes forward only.
