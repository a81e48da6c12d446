-- severity: warning
-- says: the smile of a stored snapshot of an option chain is missing, or what is read off it is
-- fix: recompute
SELECT symbol, session, timestamp AS first_stamp, timestamp AS last_stamp, 1 AS bars,
       CASE WHEN surfaces.timestamp IS NULL THEN 'missing, the chain is stored'
            ELSE 'computed by an earlier release, without what is read off it now' END AS detail
FROM expected_summaries
LEFT JOIN surfaces USING (symbol, session, timestamp)
WHERE surfaces.timestamp IS NULL
   OR (surfaces.atm_volatility IS NOT NULL AND surfaces.swap_volatility IS NULL)
