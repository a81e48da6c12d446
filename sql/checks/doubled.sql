-- severity: error
-- says: the same time is stored more than once: the table has lost its key
-- fix: fetch
WITH rows AS (
    SELECT symbol, session, timestamp, 'bars' AS what FROM bars WHERE NOT context
    UNION ALL
    SELECT symbol, session, timestamp, source || ' rows' FROM signals
    UNION ALL
    SELECT symbol, session, timestamp, 'matrix rows of ' || metric_type FROM matrices
    UNION ALL
    SELECT symbol, session, timestamp, 'chain rows of ' || option FROM chain
)
SELECT symbol, session, timestamp AS first_stamp, timestamp AS last_stamp, count(*) AS bars,
       format('{} {} of one time', count(*), what) AS detail
FROM rows
GROUP BY symbol, session, timestamp, what
HAVING count(*) > 1
