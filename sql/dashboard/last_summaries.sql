-- The last summary of each option chain of a day
SELECT DISTINCT ON (underlying_symbol) *
FROM option_summary
WHERE timestamp >= {begin} AND timestamp < {end}
ORDER BY underlying_symbol, timestamp DESC
