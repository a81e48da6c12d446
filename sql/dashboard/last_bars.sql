-- The last bar of each symbol at some expected minutes of a table
SELECT wanted.symbol, bar.timestamp, bar.close
FROM unnest(ARRAY[{symbols}]) AS wanted (symbol), LATERAL (
    SELECT timestamp, close FROM {table}
    WHERE symbol = wanted.symbol AND timestamp >= {begin} AND timestamp <= {end}
      AND timestamp IN ({stamps})
    ORDER BY timestamp DESC LIMIT 1) AS bar
