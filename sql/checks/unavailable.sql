-- severity: warning
-- says: minutes are missing for good: KIS no longer keeps them, or never did
-- fix: nothing
WITH runs AS (
    SELECT *,
           index_in_session - row_number() OVER (
               PARTITION BY symbol, session, reason ORDER BY index_in_session) AS run
    FROM unavailable
)
SELECT symbol, session, min(stamp) AS first_stamp, max(stamp) AS last_stamp, count(*) AS bars,
       reason AS detail
FROM runs
GROUP BY symbol, session, reason, run
