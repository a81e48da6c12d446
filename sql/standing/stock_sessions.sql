-- How many bars of each stock are stored of a day, and how many of them at its expected minutes
-- One day at a time: a date computed of each bar of several would cost as much as all the rest.
SELECT symbol, count(*) AS bars, count(*) FILTER (WHERE timestamp IN ({stamps})) AS stored
FROM stocks_1m
WHERE timestamp >= {begin} AND timestamp < {end}
GROUP BY symbol
