-- severity: error
-- says: expected bars are neither stored nor explained in the ledger
-- fix: fetch
-- The minutes of a session are bits: expected and stored ones are compared a session at a time, and
-- only sessions that differ are expanded to stamps. Joining stamp with stamp takes ten times as
-- long. A night's bars belong to the evening's date, as those of twelve hours earlier do.
WITH stored AS (
    SELECT symbol,
           (timestamp - CASE WHEN ends_with(symbol, '_NIGHT') THEN INTERVAL 12 HOUR
                             ELSE INTERVAL 0 HOUR END)::date AS session,
           bitstring_agg((epoch_us(timestamp) // 60_000_000 % 1440)::smallint, 0, 1439) AS minutes
    FROM bars
    WHERE epoch_us(timestamp) % 60_000_000 = 0
    GROUP BY ALL
), expected AS (
    SELECT grid, bitstring_agg((minute % 1440)::smallint, 0, 1439) AS minutes FROM grids GROUP BY grid
), incomplete AS (
    SELECT symbol, session, grid, stored.minutes
    FROM targets JOIN expected USING (grid) LEFT JOIN stored USING (symbol, session)
    WHERE stored.minutes IS NULL OR bit_count(expected.minutes & ~stored.minutes) > 0
), absent AS (
    SELECT symbol, session, session + to_minutes(minute) AS stamp, index_in_session
    FROM incomplete JOIN grids USING (grid)
    WHERE coalesce(get_bit(minutes, (minute % 1440)::int), 0) = 0
), unexplained AS (
    SELECT absent.* FROM absent
    ANTI JOIN excused ON excused.symbol = absent.symbol AND excused.stamp = absent.stamp
), runs AS (
    SELECT *,
           index_in_session
               - row_number() OVER (PARTITION BY symbol, session ORDER BY index_in_session) AS run
    FROM unexplained
)
SELECT symbol, session, min(stamp) AS first_stamp, max(stamp) AS last_stamp, count(*) AS bars,
       'nothing is stored' AS detail
FROM runs
GROUP BY symbol, session, run
