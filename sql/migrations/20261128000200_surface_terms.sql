-- migrate:up

-- What else is read off the smiles: the far wings, variance swaps, terms, expected moves. Rows of before have
-- NULL; `just validate` finds them (surface) and --fix computes them again.
ALTER TABLE option_surface
    ADD COLUMN risk_reversal_10d double precision,
    ADD COLUMN butterfly_10d double precision,
    ADD COLUMN swap_volatility double precision,
    ADD COLUMN expected_move_close double precision,
    ADD COLUMN expected_move_expiry double precision,
    ADD COLUMN atm_7d double precision,
    ADD COLUMN atm_30d double precision,
    ADD COLUMN atm_60d double precision,
    ADD COLUMN vkospi double precision,
    ADD COLUMN vkospi_weekly double precision;
COMMENT ON COLUMN option_surface.atm_volatility IS 'Volatility of the smile at the forward, % per year; over all maturities at 30 days';
COMMENT ON COLUMN option_surface.risk_reversal_25d IS '25-delta call minus put of the smile, volatility points; over all maturities at 30 days';
COMMENT ON COLUMN option_surface.butterfly_25d IS 'Mean of the 25-delta volatilities minus that at the money, volatility points; over all maturities at 30 days';
COMMENT ON COLUMN option_surface.risk_reversal_10d IS '10-delta call minus put of the smile, volatility points; over all maturities at 30 days';
COMMENT ON COLUMN option_surface.butterfly_10d IS 'Mean of the 10-delta volatilities minus that at the money, volatility points; over all maturities at 30 days';
COMMENT ON COLUMN option_surface.swap_volatility IS 'Volatility that a variance swap on the smile pays (Cboe''s form), % per year';
COMMENT ON COLUMN option_surface.expected_move_close IS 'Mean size of the move until the close of the day session, in trading time, index points; over all maturities by the nearest';
COMMENT ON COLUMN option_surface.expected_move_expiry IS 'Mean size of the move until expiry, index points; over all maturities that of the nearest';
COMMENT ON COLUMN option_surface.atm_7d IS 'Volatility at the money at 7 days, % per year; only over all maturities';
COMMENT ON COLUMN option_surface.atm_30d IS 'Volatility at the money at 30 days, % per year; only over all maturities';
COMMENT ON COLUMN option_surface.atm_60d IS 'Volatility at the money at 60 days, % per year; only over all maturities';
COMMENT ON COLUMN option_surface.vkospi IS 'Our volatility index: variance swaps of the near and next month at 30 days, % per year; only over all maturities';
COMMENT ON COLUMN option_surface.vkospi_weekly IS 'The same at 7 days between the maturities around them; only over all maturities';
COMMENT ON COLUMN option_summary.atm_volatility IS 'Volatility of the smile at the forward, % per year (option_surface)';
COMMENT ON COLUMN option_summary.risk_reversal_25d IS '25-delta call minus put of the smile, volatility points (option_surface)';
COMMENT ON COLUMN option_summary.butterfly_25d IS 'Mean of the 25-delta volatilities of the smile minus that at the money, volatility points (option_surface)';
COMMENT ON COLUMN option_summary.gamma_exposure IS 'KRW per 1 % move, every open contract with the gamma of the smile, dealers long calls and short puts (option_surface)';
COMMENT ON COLUMN option_summary.zero_gamma IS 'Price of the underlying at which gamma_exposure changes its sign, index points (option_surface)';

-- Partitions that exist already have comments of their own.
DO $$
DECLARE
    part regclass;
    name text;
    meaning text;
BEGIN
    FOR part, name, meaning IN
        SELECT inhrelid::regclass, attname, col_description(attrelid, attnum)
        FROM pg_inherits JOIN pg_attribute ON attrelid = inhparent
        WHERE inhparent = 'option_summary'::regclass AND attname IN (
            'atm_volatility', 'risk_reversal_25d', 'butterfly_25d', 'gamma_exposure', 'zero_gamma')
    LOOP
        EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', part, name, meaning);
    END LOOP;
END $$;

-- migrate:down
-- A system of record goes forward only.
