-- severity: error
-- says: bars that must exist are neither stored nor explained in the ledger
-- fix: fetch
WITH absent AS (
    SELECT symbol, session, stamp, place FROM owed
    ANTI JOIN bars ON bars.symbol = owed.symbol AND bars.timestamp = owed.stamp
    ANTI JOIN excused ON excused.symbol = owed.symbol AND excused.stamp = owed.stamp
), runs AS (
    SELECT *, place - row_number() OVER (PARTITION BY symbol, session ORDER BY place) AS run
    FROM absent
)
SELECT symbol, session, min(stamp) AS first_stamp, max(stamp) AS last_stamp, count(*) AS bars,
       'nothing is stored' AS detail
FROM runs
GROUP BY symbol, session, run
