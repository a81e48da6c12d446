-- severity: error
-- says: bars stand at times at which the session owes none
-- fix: remove
-- Bars of a contract after its last day are another check's.
SELECT symbol, session, timestamp AS first_stamp, timestamp AS last_stamp, count(*) AS bars,
       'no bar of this session has this time' AS detail
FROM bars
JOIN instruments USING (symbol)
ANTI JOIN expected_stamps AS e ON e.symbol = bars.symbol AND e.stamp = bars.timestamp
WHERE NOT context AND (last_day IS NULL OR session <= last_day)
GROUP BY symbol, session, timestamp
