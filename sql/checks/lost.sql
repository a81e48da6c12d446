-- severity: warning
-- says: minutes are missing for good: KIS no longer keeps them (unavailable) or gave rows that cannot be bars (refused)
-- fix: nothing
WITH runs AS (
    SELECT *,
           index_in_session - row_number() OVER (
               PARTITION BY symbol, session, state, reason ORDER BY index_in_session) AS run
    FROM lost
)
SELECT symbol, session, min(stamp) AS first_stamp, max(stamp) AS last_stamp, count(*) AS bars,
       concat_ws(': ', state, reason) AS detail
FROM runs
GROUP BY symbol, session, state, reason, run
