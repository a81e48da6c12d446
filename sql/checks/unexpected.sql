-- severity: error
-- says: bars are stored at times at which none is expected
-- fix: remove
-- Bars of a contract after its last day belong to the check `dead_contract`, those in a break of a venue
-- to the check `break`.
WITH hours AS (
    SELECT symbol, session, min(stamp) AS opens, max(stamp) AS closes
    FROM expected_stamps
    WHERE regexp_matches(symbol, '_(NX|UN)$')
    GROUP BY symbol, session
), others AS (  -- by the grids: all the stamps are as many as the bars
    SELECT bars.* FROM bars
    LEFT JOIN targets USING (symbol, session)
    LEFT JOIN (SELECT grid, minute * 60_000_000 AS since FROM grids) AS g
      ON g.grid = targets.grid AND since = epoch_us(timestamp) - epoch_us(session::TIMESTAMP)
    WHERE since IS NULL AND NOT context
)
SELECT symbol, session, timestamp AS first_stamp, timestamp AS last_stamp, count(*) AS bars,
       'no bar of this session has this time' AS detail
FROM others
JOIN instruments USING (symbol)
LEFT JOIN hours USING (symbol, session)
WHERE (last_day IS NULL OR session <= last_day)
  AND NOT coalesce(
      timestamp BETWEEN opens AND closes AND timestamp = date_trunc('minute', timestamp), false)
GROUP BY symbol, session, timestamp
