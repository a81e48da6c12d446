-- Sessions of stocks that KIS gave otherwise since the last time, with the factor of their prices
SELECT c.symbol, c.session, c.factor, c.kind, c.replaced_at,
       min(r.fetched_at)::date AS fetched, min(r.new_close) AS close
FROM corrections AS c
JOIN replaced_bars AS r
  ON r.table_name = c.table_name AND r.symbol = c.symbol AND r.replaced_at = c.replaced_at
 AND r.timestamp::date = c.session
WHERE c.table_name = 'stocks_1m' AND c.bars >= 10 AND abs(c.factor - 1) > 0.01
  AND c.kind IN ('adjustment', 'correction')
  AND NOT EXISTS (
      SELECT FROM adjustments AS a
      WHERE a.symbol = c.symbol AND a.found_at >= c.replaced_at AND a.state <> 'found')
GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 5, 2
