-- severity: error
-- says: open, high, low and close of a bar contradict each other
-- fix: fetch
SELECT symbol, session, timestamp AS first_stamp, timestamp AS last_stamp, 1 AS bars,
       format('open {}, high {}, low {}, close {}', open, high, low, close) AS detail
FROM bars
WHERE NOT context
  AND NOT coalesce(
      low > 0 AND low <= least(open, close) AND high >= greatest(open, close)
      AND isfinite(open) AND isfinite(high) AND isfinite(low) AND isfinite(close), false)
