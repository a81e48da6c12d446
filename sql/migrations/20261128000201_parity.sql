-- migrate:up

-- The forward is a regression of call less put over the strikes now: what its line says beside it.
ALTER TABLE option_summary
    ADD COLUMN implied_rate double precision,
    ADD COLUMN implied_rate_error double precision,
    ADD COLUMN implied_dividend double precision,
    ADD COLUMN future_gap double precision;
COMMENT ON COLUMN option_summary.forward_strikes IS 'Strikes that the regression of parity rests on; 0 for another source';
COMMENT ON COLUMN option_summary.implied_rate IS 'Interest by the slope of call less put over the strikes, % per year; NULL without parity';
COMMENT ON COLUMN option_summary.implied_rate_error IS 'Standard error of implied_rate by the errors of the prices, % per year';
COMMENT ON COLUMN option_summary.implied_dividend IS 'Index less the discounted forward: what the index pays until expiry, index points; NULL without the index';
COMMENT ON COLUMN option_summary.future_gap IS 'Synthetic future (the forward carried to the expiry of the future) less the future, in ticks of the future';

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
        WHERE inhparent = 'option_summary'::regclass AND attname IN ('forward_strikes', 'implied_rate',
            'implied_rate_error', 'implied_dividend', 'future_gap')
    LOOP
        EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', part, name, meaning);
    END LOOP;
END $$;

-- migrate:down
-- A system of record goes forward only.
