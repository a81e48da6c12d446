-- migrate:up

-- A collector that has lost its key simulates. It must not do so into real data.
CREATE TABLE data_origin (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    kind     text NOT NULL CHECK (kind IN ('live', 'simulation'))
);
COMMENT ON TABLE data_origin IS
    'Whether this database holds real or simulated data; written by the first who collects';
COMMENT ON COLUMN data_origin.only_row IS 'There is one row at most';
COMMENT ON COLUMN data_origin.kind IS 'live: from KIS; simulation: from the simulator';

-- A database that held data before this table existed is taken to hold real data.
INSERT INTO data_origin (kind)
SELECT 'live' WHERE EXISTS (SELECT FROM futures_1m) OR EXISTS (SELECT FROM stocks_1m)
    OR EXISTS (SELECT FROM option_chain_raw);

-- migrate:down
-- A system of record goes forward only.
