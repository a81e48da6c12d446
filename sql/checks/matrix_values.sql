-- severity: error
-- says: values of a matrix contradict the chain that it was made from
-- fix: recompute
WITH stored AS (
    FROM matrices UNPIVOT INCLUDE NULLS (
        value FOR level IN (COLUMNS (* EXCLUDE (symbol, session, timestamp, metric_type))))
), computed AS (
    FROM expected_matrices UNPIVOT INCLUDE NULLS (
        value FOR level IN (COLUMNS (* EXCLUDE (symbol, session, timestamp, metric_type))))
), differing AS (
    SELECT symbol, session, timestamp, metric_type, level,
           stored.value AS stored, computed.value AS computed
    FROM stored JOIN computed USING (symbol, session, timestamp, metric_type, level)
    WHERE stored.value IS DISTINCT FROM computed.value
      AND NOT coalesce(abs(stored.value - computed.value) <= 1e-9 * abs(computed.value), false)
)
SELECT symbol, session, timestamp AS first_stamp, timestamp AS last_stamp, count(*) AS bars,
       format('{} of {}: {} stored, {} computed', arg_min(level, level), metric_type,
              coalesce(arg_min(stored, level)::text, 'NULL'),
              coalesce(arg_min(computed, level)::text, 'NULL')) AS detail
FROM differing
GROUP BY symbol, session, timestamp, metric_type
