-- The last round over the stocks of the snapshot, of a session until a moment
SELECT timestamp, symbol, price, base_price, change, volume, turnover, upper_limit, lower_limit
FROM market_snapshot
WHERE session = {session}
  AND timestamp = (SELECT max(timestamp) FROM market_snapshot
                   WHERE session = {session} AND timestamp <= {now})
