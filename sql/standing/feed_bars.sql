-- The bars of a day until a moment that the feed brought, and when they were made and committed
SELECT symbol, timestamp, fetched_at, committed_at FROM futures_1m
WHERE timestamp >= {begin} AND timestamp <= {now} AND source = 'feed'
UNION ALL
SELECT symbol, timestamp, fetched_at, committed_at FROM futures_night_1m
WHERE timestamp >= {begin} AND timestamp <= {now} AND source = 'feed'
UNION ALL
SELECT symbol, timestamp, fetched_at, committed_at FROM stocks_1m
WHERE timestamp >= {begin} AND timestamp <= {now} AND source = 'feed'
ORDER BY symbol, timestamp
