-- The sessions of which anything is stored but bars of stocks at KRX, from a date on and before another
SELECT symbol, timestamp::date AS session FROM futures_1m
WHERE timestamp >= {begin} AND timestamp < {end} GROUP BY 1, 2
UNION
SELECT symbol, (timestamp - interval '12 hours')::date FROM futures_night_1m
WHERE timestamp >= {begin} AND timestamp < {end} GROUP BY 1, 2
UNION
SELECT symbol, timestamp::date FROM stocks_venue_1m
WHERE timestamp >= {begin} AND timestamp < {end} GROUP BY 1, 2
UNION
SELECT underlying_symbol,
       (timestamp - CASE WHEN right(underlying_symbol, 6) = '_NIGHT' THEN interval '12 hours'
                         ELSE interval '0' END)::date
FROM option_matrices
WHERE timestamp >= {begin} AND timestamp < {end} GROUP BY 1, 2
