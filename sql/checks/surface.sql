-- severity: warning
-- says: the smile of a stored snapshot of an option chain is missing
-- fix: recompute
SELECT symbol, session, timestamp AS first_stamp, timestamp AS last_stamp, 1 AS bars,
       'missing, the chain is stored' AS detail
FROM expected_summaries
ANTI JOIN surfaces USING (symbol, session, timestamp)
