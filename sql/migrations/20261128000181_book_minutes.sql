-- migrate:up

-- Which minutes of the book are kept. The book itself is in Parquet files beside the database: some
-- hundred thousand updates a day and contract, which nobody joins by SQL.
CREATE TABLE book_minutes (
    timestamp     timestamp NOT NULL,
    symbol        text NOT NULL,
    updates       bigint NOT NULL,
    longest_pause double precision NOT NULL,
    fetched_at    timestamp NOT NULL,
    committed_at  timestamp NOT NULL,
    PRIMARY KEY (symbol, timestamp)
);
COMMENT ON TABLE book_minutes IS 'Which minutes of the book of a future the files of data_folder/book have';
COMMENT ON COLUMN book_minutes.timestamp IS 'End of the minute, KST without zone';
COMMENT ON COLUMN book_minutes.symbol IS 'Code of the futures contract';
COMMENT ON COLUMN book_minutes.updates IS 'Updates of the minute that are in the files';
COMMENT ON COLUMN book_minutes.longest_pause IS
    'The longest time without an update, by receipt, the ends of the minute included, seconds';
COMMENT ON COLUMN book_minutes.fetched_at IS 'When the last update of the minute arrived, KST without zone';
COMMENT ON COLUMN book_minutes.committed_at IS 'When the row was merged, KST without zone';

-- migrate:down
-- A system of record goes forward only.
