-- migrate:up

-- What is listed, from KIS's master files of shares: a row for each time that a code had one name.
CREATE TABLE stock_listings (
    symbol        text      NOT NULL,
    seen_first    date      NOT NULL,
    seen_last     date      NOT NULL,
    name          text      NOT NULL,
    market        text      NOT NULL,
    kind          text      NOT NULL,
    group_code    text      NOT NULL,
    sector_large  text,
    sector_medium text,
    sector_small  text,
    index_member  text,
    halted        boolean   NOT NULL,
    liquidating   boolean   NOT NULL,
    managed       boolean   NOT NULL,
    listed_from   date,
    standard_code text      NOT NULL,
    fetched_at    timestamp NOT NULL,
    committed_at  timestamp NOT NULL,
    PRIMARY KEY (symbol, seen_first)
);
COMMENT ON TABLE stock_listings IS
    'Shares, ETFs and others of KOSPI and KOSDAQ by KIS''s master files: a row for each period of one name';
COMMENT ON COLUMN stock_listings.symbol IS 'Short code at KRX';
COMMENT ON COLUMN stock_listings.seen_first IS 'Date of the first master file that had this code with this name';
COMMENT ON COLUMN stock_listings.seen_last IS
    'Date of the last one; before the market''s newest date where it is delisted or renamed';
COMMENT ON COLUMN stock_listings.name IS 'Korean name, as KIS gives it';
COMMENT ON COLUMN stock_listings.market IS 'KOSPI or KOSDAQ';
COMMENT ON COLUMN stock_listings.kind IS
    'common, preferred, SPAC, ETF, ETN, ELW, REIT, infrastructure, fund, depositary receipt, warrant, rights or other';
COMMENT ON COLUMN stock_listings.group_code IS 'KIS''s group of securities: ST, EF, EN, RT …';
COMMENT ON COLUMN stock_listings.sector_large IS 'KIS''s code of the index sector; NULL where there is none';
COMMENT ON COLUMN stock_listings.sector_medium IS 'Likewise, finer';
COMMENT ON COLUMN stock_listings.sector_small IS 'Likewise, finest';
COMMENT ON COLUMN stock_listings.index_member IS 'KOSPI200 or KOSDAQ150 where it is a member, else NULL';
COMMENT ON COLUMN stock_listings.halted IS 'Whether trading was suspended, as of seen_last';
COMMENT ON COLUMN stock_listings.liquidating IS 'Whether it was in its last trading before it is delisted, as of seen_last';
COMMENT ON COLUMN stock_listings.managed IS 'Whether KRX had it under supervision, as of seen_last';
COMMENT ON COLUMN stock_listings.listed_from IS 'Date of its listing; NULL where KIS gives none';
COMMENT ON COLUMN stock_listings.standard_code IS 'ISIN';
COMMENT ON COLUMN stock_listings.fetched_at IS 'When the master file arrived, KST without zone';
COMMENT ON COLUMN stock_listings.committed_at IS 'When the row was merged, KST without zone';

-- What sql/roles.sql gives on tables that are there when it runs.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'krt_writer') THEN
        GRANT SELECT, INSERT, UPDATE ON stock_listings TO krt_writer;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'krt_reader') THEN
        GRANT SELECT ON stock_listings TO krt_reader;
    END IF;
END $$;

-- migrate:down
-- A system of record goes forward only.
