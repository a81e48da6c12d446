-- severity: warning
-- says: many bars in a row have the same prices and volume: the source had stopped
-- fix: fetch
-- Of 270,000 real bars at most two in a row were equal where the price had moved within them, and at
-- most three where it had not (a thin stock, one lot a minute). A finding begins at three and at
-- six; for minutes without a trade, which KIS sometimes sends as volume 0 (up to seven in a row), at
-- sixteen.
WITH once AS (
    FROM bars WHERE NOT context QUALIFY row_number() OVER (PARTITION BY symbol, timestamp) = 1
), repeats AS (
    SELECT *,
           (open, high, low, close, volume) IS NOT DISTINCT FROM lag((open, high, low, close, volume))
               OVER by_time AS repeated,
           row_number() OVER by_time AS bar_number
    FROM once
    WINDOW by_time AS (PARTITION BY symbol, session ORDER BY timestamp)
), runs AS (
    SELECT *,
           bar_number - row_number() OVER (PARTITION BY symbol, session ORDER BY bar_number) AS run
    FROM repeats
    WHERE repeated AND NOT confirmed
)
SELECT symbol, session, min(timestamp) AS first_stamp, max(timestamp) AS last_stamp,
       count(*) AS bars,
       format('{} bars repeat the one before: close {}, volume {}',
              count(*), any_value(close), any_value(volume)) AS detail
FROM runs
GROUP BY symbol, session, run
HAVING count(*) >= CASE WHEN any_value(volume) = 0 THEN 15
                        WHEN any_value(high) > any_value(low) THEN 2 ELSE 5 END
