-- severity: error
-- says: snapshots of an option chain are missing from its matrix
-- fix: recompute
WITH wanted AS (
    SELECT symbol, session, stamp, place, metric_type
    FROM snapshots_owed
    CROSS JOIN (
        SELECT metric_type FROM expected_matrices UNION SELECT 'price')  -- if no chain is stored
    ANTI JOIN excused ON excused.symbol = snapshots_owed.symbol
                     AND excused.stamp = snapshots_owed.stamp
), absent AS (
    SELECT symbol, session, stamp, any_value(place) AS place, count(*) AS metrics
    FROM wanted
    ANTI JOIN matrices ON matrices.symbol = wanted.symbol AND matrices.timestamp = wanted.stamp
                      AND matrices.metric_type = wanted.metric_type
    GROUP BY symbol, session, stamp
), collected AS (
    SELECT DISTINCT symbol, timestamp AS stamp FROM expected_matrices
), runs AS (
    SELECT absent.*, collected.stamp IS NOT NULL AS computable,
           place - row_number() OVER (
               PARTITION BY absent.symbol, session, metrics, computable ORDER BY place) AS run
    FROM absent LEFT JOIN collected USING (symbol, stamp)
)
SELECT symbol, session, min(stamp) AS first_stamp, max(stamp) AS last_stamp, count(*) AS bars,
       format('{} metrics missing, the chain is {}', metrics,
              CASE WHEN computable THEN 'stored' ELSE 'missing too' END) AS detail
FROM runs
GROUP BY symbol, session, metrics, computable, run
