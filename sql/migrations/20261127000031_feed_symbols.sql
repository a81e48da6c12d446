-- migrate:up

-- Which symbols the feed (WebSocket) brings, since when, and why not those that it does not. The collector
-- writes it each minute; what it was last stays. Without the feed there are no rows.
CREATE TABLE feed_symbols (
    session      date      NOT NULL,
    symbol       text      NOT NULL,
    by_feed      boolean   NOT NULL,
    since        timestamp NOT NULL,
    reason       text,
    committed_at timestamp NOT NULL,
    PRIMARY KEY (session, symbol)
);
COMMENT ON TABLE feed_symbols IS 'Which symbols with bars come by the feed (WebSocket), of each session as it was last';
COMMENT ON COLUMN feed_symbols.session IS 'Date of the session';
COMMENT ON COLUMN feed_symbols.symbol IS 'Code of the instrument';
COMMENT ON COLUMN feed_symbols.by_feed IS
    'Whether the connection is up, the symbol registered and not silent; else it is polled';
COMMENT ON COLUMN feed_symbols.since IS 'Since when that is so, KST without zone';
COMMENT ON COLUMN feed_symbols.reason IS 'Why it does not come by the feed, in words; NULL if it does';
COMMENT ON COLUMN feed_symbols.committed_at IS 'When the row was merged, KST';

-- migrate:down
-- A system of record goes forward only.
