-- The bars of a day until a moment that the feed brought, when they were made and committed, and
-- since when a collector was there for them (NULL: nobody wrote that down)
SELECT b.symbol, b.timestamp, b.fetched_at, b.committed_at, c.since
FROM (
    SELECT symbol, timestamp, fetched_at, committed_at, source, timestamp::date AS session
    FROM futures_1m
    UNION ALL
    SELECT symbol, timestamp, fetched_at, committed_at, source,
           (timestamp - interval '12 hours')::date
    FROM futures_night_1m
    UNION ALL
    SELECT symbol, timestamp, fetched_at, committed_at, source, timestamp::date
    FROM stocks_1m
) b
LEFT JOIN collected_symbols c ON c.symbol = b.symbol AND c.session = b.session
WHERE b.timestamp >= {begin} AND b.timestamp <= {now} AND b.source = 'feed'
ORDER BY b.symbol, b.timestamp
