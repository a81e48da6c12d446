-- severity: error
-- says: a contract has bars after its last trading day
-- fix: remove
SELECT symbol, session, min(timestamp) AS first_stamp, max(timestamp) AS last_stamp,
       count(*) AS bars, format('the contract expired on {}', any_value(last_day)) AS detail
FROM bars
JOIN instruments USING (symbol)
WHERE NOT context AND session > last_day
GROUP BY symbol, session
