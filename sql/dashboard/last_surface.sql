-- The last surface of each of some chains, or over all maturities, of a day until a moment
SELECT DISTINCT ON (underlying_symbol) *
FROM option_surface
WHERE underlying_symbol IN ({names}) AND timestamp >= {begin} AND timestamp <= {now}
ORDER BY underlying_symbol, timestamp DESC
