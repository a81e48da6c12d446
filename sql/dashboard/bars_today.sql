-- The bars stored of a day: how many, how many of them until {due}, the last one, and the seconds
-- from the end of its minute to its commit
SELECT symbol, count(*) AS bars, count(*) FILTER (WHERE timestamp <= {due}) AS bars_due,
       max(timestamp) AS timestamp,
       (array_agg(close ORDER BY timestamp DESC))[1] AS close,
       (array_agg(extract(epoch FROM committed_at - timestamp)::double precision
                  ORDER BY timestamp DESC))[1] AS delay,
       percentile_cont(0.5) WITHIN GROUP (
           ORDER BY extract(epoch FROM committed_at - timestamp)::double precision) AS usual_delay
FROM (
    SELECT symbol, timestamp, close, committed_at FROM futures_1m
    WHERE timestamp >= {begin} AND timestamp < {end}
    UNION ALL
    SELECT symbol, timestamp, close, committed_at FROM stocks_1m
    WHERE timestamp >= {begin} AND timestamp < {end}
) AS bars
GROUP BY symbol
ORDER BY symbol
