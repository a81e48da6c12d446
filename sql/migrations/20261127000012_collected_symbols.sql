-- migrate:up

-- What a collector set out to collect. Without it nobody could say how much is missing of a symbol of
-- which nothing has come yet.
CREATE TABLE collected_symbols (
    session      date      NOT NULL,
    symbol       text      NOT NULL,
    since        timestamp NOT NULL,
    committed_at timestamp NOT NULL,
    PRIMARY KEY (session, symbol)
);
COMMENT ON TABLE collected_symbols IS 'What was to be collected in each session, by the plan of a collector';
COMMENT ON COLUMN collected_symbols.session IS 'Date of the session';
COMMENT ON COLUMN collected_symbols.symbol IS 'Code of the instrument; of option chains the underlying_symbol';
COMMENT ON COLUMN collected_symbols.since IS 'When a collector first set out to collect it, KST';
COMMENT ON COLUMN collected_symbols.committed_at IS 'When the row was merged, KST';

-- migrate:down
-- A system of record goes forward only.
