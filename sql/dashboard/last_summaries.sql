-- The last summary of each option chain of a day until a moment
SELECT DISTINCT ON (underlying_symbol) *
FROM option_summary
WHERE timestamp >= {begin} AND timestamp <= {now}
ORDER BY underlying_symbol, timestamp DESC
