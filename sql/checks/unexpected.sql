-- severity: error
-- says: bars are stored at times at which none is expected
-- fix: remove
-- Bars of a contract after its last day belong to the check `dead_contract`.
SELECT symbol, session, timestamp AS first_stamp, timestamp AS last_stamp, count(*) AS bars,
       'no bar of this session has this time' AS detail
FROM bars
JOIN instruments USING (symbol)
ANTI JOIN expected_stamps AS e ON e.symbol = bars.symbol AND e.stamp = bars.timestamp
WHERE NOT context AND (last_day IS NULL OR session <= last_day)
GROUP BY symbol, session, timestamp
