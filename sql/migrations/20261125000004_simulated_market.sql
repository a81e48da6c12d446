-- migrate:up

-- A simulation that went on with another market would "correct" every stored bar.
CREATE TABLE simulated_market (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    market   text NOT NULL
);
COMMENT ON TABLE simulated_market IS
    'Which market the simulation in this database is of; written by the first who collects';
COMMENT ON COLUMN simulated_market.only_row IS 'There is one row at most';
COMMENT ON COLUMN simulated_market.market IS 'seed N: the synthetic one; recorded: from a file';

-- migrate:down
-- A system of record goes forward only.
