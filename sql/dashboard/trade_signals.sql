-- The trade signals of one strategy on a day until a moment
SELECT timestamp, symbol, close, trade_signal, reason
FROM {table}
WHERE timestamp >= {begin} AND timestamp <= {now} AND trade_signal <> 0
ORDER BY symbol, timestamp
