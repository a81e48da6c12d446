-- severity: warning
-- says: KIS gives a row for the minute that cannot be a bar; it is kept in rejected_rows
-- fix: fetch
WITH runs AS (
    SELECT *,
           index_in_session - row_number() OVER (
               PARTITION BY symbol, session, reason ORDER BY index_in_session) AS run
    FROM refused
)
SELECT symbol, session, min(stamp) AS first_stamp, max(stamp) AS last_stamp, count(*) AS bars,
       reason AS detail
FROM runs
GROUP BY symbol, session, reason, run
