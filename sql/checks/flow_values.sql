-- severity: warning
-- says: investors' flows contradict themselves (net, what all bought against what all sold, falling sums)
-- fix: nothing
WITH rows AS (
    SELECT *,
           sold_volume < lag(sold_volume) OVER day OR bought_volume < lag(bought_volume) OVER day
               OR sold_amount < lag(sold_amount) OVER day OR bought_amount < lag(bought_amount) OVER day
               AS falls
    FROM investor_flows
    WINDOW day AS (PARTITION BY symbol, session, investor ORDER BY timestamp)
), faults AS (
    SELECT symbol, session, timestamp, format('{}: net is not bought less sold', investor) AS detail
    FROM rows
    WHERE net_volume <> bought_volume - sold_volume OR abs(net_amount - bought_amount + sold_amount) > 1
    UNION ALL
    SELECT symbol, session, timestamp, format('{}: less than a minute before', investor) FROM rows WHERE falls
    UNION ALL
    SELECT symbol, session, timestamp,
           format('all bought {} and sold {}', sum(bought_volume), sum(sold_volume))
    FROM rows
    WHERE investor IN ('foreign', 'individual', 'institution', 'other_organisation', 'other_corporation')
    GROUP BY symbol, session, timestamp
    HAVING count(*) = 5 AND abs(sum(bought_volume) - sum(sold_volume)) > 0.001 * sum(bought_volume)
)
SELECT symbol, session, min(timestamp) AS first_stamp, max(timestamp) AS last_stamp, count(*) AS bars,
       min(detail) AS detail
FROM faults
GROUP BY symbol, session, split_part(detail, ':', 1)
