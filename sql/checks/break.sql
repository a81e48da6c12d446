-- severity: warning
-- says: a venue of stocks has bars in a break, in which nothing is believed to trade; they are kept
-- fix: nothing
WITH hours AS (
    SELECT symbol, session, min(stamp) AS opens, max(stamp) AS closes
    FROM expected_stamps
    WHERE regexp_matches(symbol, '_(NX|UN)$')
    GROUP BY ALL
)
SELECT symbol, session, min(timestamp) AS first_stamp, max(timestamp) AS last_stamp,
       count(*) AS bars, format('volume {}', sum(volume)) AS detail
FROM bars
JOIN hours USING (symbol, session)
ANTI JOIN expected_stamps AS e ON e.symbol = bars.symbol AND e.stamp = bars.timestamp
WHERE NOT context AND timestamp BETWEEN opens AND closes
  AND timestamp = date_trunc('minute', timestamp)
GROUP BY symbol, session
