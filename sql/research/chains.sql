-- The option chains of which something is stored, and the rows over all maturities
SELECT DISTINCT underlying_symbol FROM option_summary
UNION
SELECT DISTINCT underlying_symbol FROM option_surface
ORDER BY underlying_symbol
