-- Last bar of each symbol
-- Goes from symbol to symbol along the key; GROUP BY would read years of bars.
WITH RECURSIVE futures (code) AS (
    SELECT min(symbol) FROM futures_1m
    UNION ALL
    SELECT (SELECT min(symbol) FROM futures_1m WHERE symbol > code)
    FROM futures WHERE code IS NOT NULL
), nights (code) AS (
    SELECT min(symbol) FROM futures_night_1m
    UNION ALL
    SELECT (SELECT min(symbol) FROM futures_night_1m WHERE symbol > code)
    FROM nights WHERE code IS NOT NULL
), stocks (code) AS (
    SELECT min(symbol) FROM stocks_1m
    UNION ALL
    SELECT (SELECT min(symbol) FROM stocks_1m WHERE symbol > code)
    FROM stocks WHERE code IS NOT NULL
), venues (code) AS (
    SELECT min(symbol) FROM stocks_venue_1m
    UNION ALL
    SELECT (SELECT min(symbol) FROM stocks_venue_1m WHERE symbol > code)
    FROM venues WHERE code IS NOT NULL
)
SELECT 'futures_1m' AS table_name, bar.* FROM futures CROSS JOIN LATERAL (
    SELECT symbol, timestamp, close, volume, committed_at FROM futures_1m
    WHERE symbol = code ORDER BY timestamp DESC LIMIT 1) AS bar
UNION ALL
SELECT 'futures_night_1m', bar.* FROM nights CROSS JOIN LATERAL (
    SELECT symbol, timestamp, close, volume, committed_at FROM futures_night_1m
    WHERE symbol = code ORDER BY timestamp DESC LIMIT 1) AS bar
UNION ALL
SELECT 'stocks_1m', bar.* FROM stocks CROSS JOIN LATERAL (
    SELECT symbol, timestamp, close, volume, committed_at FROM stocks_1m
    WHERE symbol = code ORDER BY timestamp DESC LIMIT 1) AS bar
UNION ALL
SELECT 'stocks_venue_1m', bar.* FROM venues CROSS JOIN LATERAL (
    SELECT symbol, timestamp, close, volume, committed_at FROM stocks_venue_1m
    WHERE symbol = code ORDER BY timestamp DESC LIMIT 1) AS bar
ORDER BY table_name, symbol
