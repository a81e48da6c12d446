-- The bars of a day until a moment that may have been collected live (engine.history.delays), when
-- they were fetched and committed, and since when a collector was there for them (NULL: nobody
-- wrote that down). What came later than four minutes after its stamp was asked for afterwards.
SELECT b.symbol, b.timestamp, b.fetched_at, b.committed_at, c.since
FROM (
    SELECT symbol, timestamp, fetched_at, committed_at, timestamp::date AS session
    FROM futures_1m
    UNION ALL
    SELECT symbol, timestamp, fetched_at, committed_at,
           (timestamp - interval '12 hours')::date
    FROM futures_night_1m
    UNION ALL
    SELECT symbol, timestamp, fetched_at, committed_at, timestamp::date
    FROM stocks_1m
    UNION ALL
    SELECT symbol, timestamp, fetched_at, committed_at, timestamp::date
    FROM stocks_venue_1m
) b
LEFT JOIN collected_symbols c ON c.symbol = b.symbol AND c.session = b.session
WHERE b.timestamp >= {begin} AND b.timestamp <= {now}
  AND b.fetched_at <= b.timestamp + interval '4 minutes'
ORDER BY b.symbol, b.timestamp
