-- Volatility indices over all maturities of a day until a moment
SELECT timestamp, vkospi, vkospi_weekly, atm_30d
FROM option_surface
WHERE underlying_symbol = {over} AND timestamp >= {begin} AND timestamp <= {now}
ORDER BY timestamp
