-- The last trade signals of a day, newest first
SELECT timestamp, symbol, close, trade_signal, reason
FROM dolpha1_signal
WHERE timestamp >= {begin} AND timestamp < {end} AND trade_signal <> 0
ORDER BY timestamp DESC, symbol
LIMIT 8
