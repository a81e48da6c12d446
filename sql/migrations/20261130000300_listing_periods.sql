-- migrate:up

-- A row is one time of name, market, kind, index and halt: universes of past days follow from it.
COMMENT ON TABLE stock_listings IS
    'Shares, ETFs and others of KOSPI and KOSDAQ by KIS''s master files: a row for each period of one name, market, kind, index and halt';
COMMENT ON COLUMN stock_listings.seen_first IS 'Date of the first master file that had this code so';
COMMENT ON COLUMN stock_listings.seen_last IS
    'Date of the last one; before the market''s newest date where it is delisted or another row follows';
COMMENT ON COLUMN stock_listings.halted IS 'Whether trading was suspended';

-- migrate:down
-- A system of record goes forward only.
