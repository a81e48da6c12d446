-- severity: error
-- says: signals differ from what the strategy computes from the stored bars
-- fix: recompute
-- Where a late bar changed a signal, the table has the new one and signal_corrections the old one.
WITH wrong AS (
    SELECT e.source, e.symbol, e.session, e.timestamp,
           EXISTS (FROM signals AS s WHERE s.source = e.source AND s.symbol = e.symbol
                                       AND s.timestamp = e.timestamp) AS given
    FROM expected_signals AS e
    WHERE NOT EXISTS (
        FROM signals AS s
        WHERE s.source = e.source AND s.symbol = e.symbol AND s.timestamp = e.timestamp
          AND s.content = e.content)
)
SELECT symbol, session, min(timestamp) AS first_stamp, max(timestamp) AS last_stamp,
       count(*) AS bars,
       format('{} signals of {} {}', count(*), source,
              CASE WHEN given THEN 'differ' ELSE 'are missing' END) AS detail
FROM wrong
GROUP BY source, symbol, session, given
