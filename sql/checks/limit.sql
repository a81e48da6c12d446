-- severity: warning
-- says: a price is beyond the day's price limit
-- fix: fetch
-- A limit is a belief of ours, so a bar beyond it is stored like any other and only reported here.
-- KRX allows stocks 30 % and index derivatives at most 20 % (the third step) from the base price,
-- which is nearly the last close (docs/kis.md#price-limits). Here a price is compared with the last
-- five closes of the session before; the smallest difference counts, so that one wrong close does
-- not make the whole next day a finding. Where the median of a day is beyond the limit, the base
-- itself has changed (a corporate action, a new listing, a fund with twice the limit) and nothing is
-- reported; nothing either after a session that is not stored.
WITH closes AS (
    SELECT symbol, session, close,
           row_number() OVER (PARTITION BY symbol, session ORDER BY timestamp DESC) AS from_end
    FROM bars
), last_closes AS (
    SELECT symbol, number + 1 AS number, max(close) AS highest, min(close) AS lowest
    FROM closes JOIN trading_days USING (session)
    WHERE from_end <= 5
    GROUP BY symbol, number
), middles AS (
    SELECT symbol, session, median(close) AS middle FROM bars GROUP BY symbol, session
), limits AS (
    SELECT symbol, session,
           lowest * CASE kind WHEN 'stocks' THEN 0.70 ELSE 0.80 END AS lower_limit,
           highest * CASE kind WHEN 'stocks' THEN 1.30 ELSE 1.20 END AS upper_limit
    FROM last_closes
    JOIN trading_days USING (number)
    JOIN middles USING (symbol, session)
    JOIN instruments USING (symbol)
    WHERE middle BETWEEN lower_limit AND upper_limit
)
SELECT symbol, session, timestamp AS first_stamp, timestamp AS last_stamp, 1 AS bars,
       format('low {}, high {}; the limits are near {:.2f} and {:.2f}',
              low, high, lower_limit, upper_limit) AS detail
FROM bars
JOIN limits USING (symbol, session)
WHERE NOT context AND NOT confirmed AND (low < lower_limit OR high > upper_limit)
