-- The bars stored of a day until a moment, and when they were fetched and committed
SELECT symbol, timestamp, close, fetched_at, committed_at FROM futures_1m
WHERE timestamp >= {begin} AND timestamp <= {now}
UNION ALL
SELECT symbol, timestamp, close, fetched_at, committed_at FROM futures_night_1m
WHERE timestamp >= {begin} AND timestamp <= {now}
UNION ALL
SELECT symbol, timestamp, close, fetched_at, committed_at FROM stocks_1m
WHERE timestamp >= {begin} AND timestamp <= {now}
ORDER BY symbol, timestamp
