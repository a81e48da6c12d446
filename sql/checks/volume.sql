-- severity: error
-- says: a volume is below zero
-- fix: fetch
SELECT symbol, session, timestamp AS first_stamp, timestamp AS last_stamp, 1 AS bars,
       format('volume {}', volume) AS detail
FROM bars
WHERE NOT context AND volume < 0
