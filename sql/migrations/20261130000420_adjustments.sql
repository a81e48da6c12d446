-- migrate:up

-- Corporate actions, as far as prices show them. KIS adjusts past prices: what it says of a session
-- afterwards is what it said then, times one factor. A stored bar stays what KIS said when it was
-- asked; these factors make one series of bars that were asked for before and after.
CREATE TABLE adjustments (
    symbol       text             NOT NULL,
    effective    date             NOT NULL,
    factor       double precision NOT NULL,
    state        text             NOT NULL CHECK (state IN ('found', 'confirmed', 'doubted')),
    reason       text             NOT NULL,
    first_seen   date             NOT NULL,
    found_at     timestamp        NOT NULL,
    checked_at   timestamp        NOT NULL,
    committed_at timestamp        NOT NULL,
    PRIMARY KEY (symbol, effective)
);
COMMENT ON TABLE adjustments IS 'Factors by which corporate actions changed the prices of before';
COMMENT ON COLUMN adjustments.symbol IS 'Code of the stock';
COMMENT ON COLUMN adjustments.effective IS
    'First session whose prices were never adjusted for it; where it is not confirmed, the date on '
    'which KIS gave adjusted prices';
COMMENT ON COLUMN adjustments.factor IS
    'What prices of earlier sessions are to be multiplied with, and volumes divided by';
COMMENT ON COLUMN adjustments.state IS
    'confirmed: applied; found: KIS''s daily prices have not been asked yet; doubted: never applied';
COMMENT ON COLUMN adjustments.reason IS 'What speaks for it or against it';
COMMENT ON COLUMN adjustments.first_seen IS 'A session whose stored bars were replaced by adjusted ones';
COMMENT ON COLUMN adjustments.found_at IS 'When bars were last replaced by adjusted ones, KST';
COMMENT ON COLUMN adjustments.checked_at IS 'When it was last judged, KST without zone';
COMMENT ON COLUMN adjustments.committed_at IS 'When the row was merged, KST without zone';

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'krt_reader') THEN
        GRANT SELECT ON adjustments TO krt_reader;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'krt_writer') THEN
        GRANT SELECT, INSERT, UPDATE ON adjustments TO krt_writer;
    END IF;
END $$;

-- migrate:down
-- A system of record goes forward only.
