-- Corrected signals, newest first
SELECT table_name, symbol, timestamp::date AS session, cause,
       count(DISTINCT timestamp) AS signals, max(recorded_at) AS recorded_at
FROM signal_corrections
GROUP BY 1, 2, 3, 4
ORDER BY recorded_at DESC, symbol, session
LIMIT 20
