-- severity: error
-- says: snapshots of an option chain are missing from its matrix
-- fix: recompute
WITH wanted AS (
    SELECT symbol, session, stamp, index_in_session, metric_type
    FROM expected_snapshots
    CROSS JOIN (
        SELECT metric_type FROM expected_matrices UNION SELECT 'price')  -- if no chain is stored
    ANTI JOIN excused ON excused.symbol = expected_snapshots.symbol
                     AND excused.stamp = expected_snapshots.stamp
), absent AS (
    SELECT symbol, session, stamp, any_value(index_in_session) AS index_in_session,
           count(*) AS metrics
    FROM wanted
    ANTI JOIN matrices ON matrices.symbol = wanted.symbol AND matrices.timestamp = wanted.stamp
                      AND matrices.metric_type = wanted.metric_type
    GROUP BY symbol, session, stamp
), collected AS (
    SELECT DISTINCT symbol, timestamp AS stamp FROM expected_matrices
), runs AS (
    SELECT absent.*, collected.stamp IS NOT NULL AS computable,
           index_in_session - row_number() OVER (
               PARTITION BY absent.symbol, session, metrics, computable
               ORDER BY index_in_session) AS run
    FROM absent LEFT JOIN collected USING (symbol, stamp)
)
SELECT symbol, session, min(stamp) AS first_stamp, max(stamp) AS last_stamp, count(*) AS bars,
       format('{} metrics missing, the chain is {}', metrics,
              CASE WHEN computable THEN 'stored' ELSE 'missing too' END) AS detail
FROM runs
GROUP BY symbol, session, metrics, computable, run
