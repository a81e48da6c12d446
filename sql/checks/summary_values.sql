-- severity: error
-- says: a summary of an option chain is missing or contradicts the chain that it was made from
-- fix: recompute
WITH numbers AS (
    SELECT symbol, session, timestamp, figure, expected.value AS computed, stored.value AS stored,
           expected.value IS DISTINCT FROM stored.value AND NOT coalesce(
               abs(stored.value - expected.value) <= 1e-9 * abs(expected.value), false) AS differs
    FROM (FROM expected_summaries UNPIVOT INCLUDE NULLS (
             value FOR figure IN (COLUMNS (* EXCLUDE (
                 symbol, session, timestamp, forward_source, flags))))) AS expected
    JOIN (FROM summaries UNPIVOT INCLUDE NULLS (
             value FOR figure IN (COLUMNS (* EXCLUDE (
                 symbol, session, timestamp, forward_source, flags))))) AS stored
        USING (symbol, session, timestamp, figure)
), words AS (
    SELECT symbol, session, timestamp, unnest(['forward_source', 'flags']) AS figure,
           unnest([e.forward_source, e.flags]) AS computed,
           unnest([s.forward_source, s.flags]) AS stored
    FROM expected_summaries AS e JOIN summaries AS s USING (symbol, session, timestamp)
), differing AS (
    SELECT symbol, session, timestamp, figure, stored::text AS stored, computed::text AS computed
    FROM numbers WHERE differs
    UNION ALL BY NAME FROM words WHERE stored IS DISTINCT FROM computed
)
SELECT symbol, session, timestamp AS first_stamp, timestamp AS last_stamp, 1 AS bars,
       format('{}: {} stored, {} computed', min(figure), coalesce(arg_min(stored, figure), 'NULL'),
              coalesce(arg_min(computed, figure), 'NULL')) AS detail
FROM differing
GROUP BY symbol, session, timestamp
UNION ALL BY NAME
SELECT symbol, session, timestamp AS first_stamp, timestamp AS last_stamp, 1 AS bars,
       'missing, the chain is stored' AS detail
FROM expected_summaries
ANTI JOIN summaries USING (symbol, session, timestamp)
