-- severity: warning
-- says: open, high, low and close of an index bar contradict each other
-- fix: nothing
SELECT symbol, session, timestamp AS first_stamp, timestamp AS last_stamp, 1 AS bars,
       format('open {}, high {}, low {}, close {}', open, high, low, close) AS detail
FROM index_1m
WHERE NOT coalesce(low > 0 AND low <= least(open, close) AND high >= greatest(open, close), false)
