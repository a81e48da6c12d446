-- The bars stored of a day until a moment, when they were fetched and committed, and since when
-- a collector was there for them (NULL: nobody wrote that down)
SELECT b.symbol, b.timestamp, b.close, b.fetched_at, b.committed_at, c.since
FROM (
    SELECT symbol, timestamp, close, fetched_at, committed_at, timestamp::date AS session
    FROM futures_1m
    UNION ALL
    SELECT symbol, timestamp, close, fetched_at, committed_at,
           (timestamp - interval '12 hours')::date
    FROM futures_night_1m
    UNION ALL
    SELECT symbol, timestamp, close, fetched_at, committed_at, timestamp::date
    FROM stocks_1m
    UNION ALL
    SELECT symbol, timestamp, close, fetched_at, committed_at, timestamp::date
    FROM stocks_venue_1m
) b
LEFT JOIN collected_symbols c ON c.symbol = b.symbol AND c.session = b.session
WHERE b.timestamp >= {begin} AND b.timestamp <= {now}
ORDER BY b.symbol, b.timestamp
