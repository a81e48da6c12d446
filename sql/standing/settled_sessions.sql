-- The figures of stocks' sessions that are settled and validated, where as many bars are stored as then
WITH bars AS (
    SELECT symbol, timestamp::date AS session, count(*) AS stored FROM stocks_1m
    WHERE timestamp >= {begin} AND timestamp < {end} GROUP BY 1, 2
)
SELECT symbol, session, owed AS expected, kept.stored, unavailable + refused AS missing,
       open, unavailable, refused, no_trade
FROM kept_sessions AS kept
LEFT JOIN bars USING (symbol, session)
WHERE market = 'stocks' AND validated AND open = 0 AND session >= {begin} AND session < {end}
  AND (coalesce(bars.stored, 0) = kept.stored
       OR bars.stored IS NULL AND EXISTS (
           SELECT FROM archived_months
           WHERE table_name = 'stocks_1m' AND session BETWEEN first_session AND last_session))
