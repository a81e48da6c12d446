-- migrate:up

-- The forward of a snapshot carries ATM, matrix, model greeks and summary; so it says what it rests on.
-- Rows of before were made on another forward (the matrix on the future as it stands): they have NULL
-- here until `just validate --fix` computes matrix and summary again from the stored chain.
ALTER TABLE option_summary
    ADD COLUMN forward_source  text,
    ADD COLUMN forward_strikes bigint;

COMMENT ON COLUMN option_summary.underlying_price IS
    'Price of the future or the index as the vendor gave it, index points';
COMMENT ON COLUMN option_summary.forward IS
    'Price of the underlying for delivery at expiry, index points; decides ATM, levels, model greeks';
COMMENT ON COLUMN option_summary.forward_source IS
    'What the forward is: parity (of puts and calls), future or index (carried to expiry); NULL with a '
    'forward: stored before 2026-11-27, `just validate --fix` computes it again';
COMMENT ON COLUMN option_summary.forward_strikes IS
    'Strikes that the forward by parity rests on; 0 if it is a future or the index';
COMMENT ON COLUMN option_summary.atm_strike IS 'Listed strike nearest to the forward, index points';
COMMENT ON COLUMN option_matrices.metric_type IS
    'iv, delta, gamma, vega, theta, rho, price, volume, open_interest: the vendor''s; '
    'model_…: ours (Black-76 on the forward of option_summary)';
COMMENT ON COLUMN option_chain_raw.underlying_price IS
    'Price of the future or the index as the vendor gave it, index points; NULL if it gave none';
COMMENT ON COLUMN option_chain_raw.underlying_source IS
    'What underlying_price is: future:CODE or index; parity: made by us, before 2026-11-27';

-- Partitions that exist already have comments of their own.
DO $$
DECLARE
    part regclass;
    name text;
BEGIN
    FOR part, name IN
        SELECT inhrelid::regclass, attname
        FROM pg_inherits JOIN pg_attribute ON attrelid = inhparent
        WHERE (inhparent, attname) IN (
            ('option_summary'::regclass, 'underlying_price'), ('option_summary'::regclass, 'forward'),
            ('option_summary'::regclass, 'forward_source'),
            ('option_summary'::regclass, 'forward_strikes'),
            ('option_summary'::regclass, 'atm_strike'),
            ('option_matrices'::regclass, 'metric_type'),
            ('option_chain_raw'::regclass, 'underlying_price'),
            ('option_chain_raw'::regclass, 'underlying_source'))
    LOOP
        EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', part, name, (
            SELECT col_description(attrelid, attnum) FROM pg_inherits
            JOIN pg_attribute ON attrelid = inhparent
            WHERE inhrelid = part AND attname = name));
    END LOOP;
END $$;

-- migrate:down
-- A system of record goes forward only.
