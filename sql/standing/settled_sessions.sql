-- What is kept of stocks' sessions in which nothing is open, between two dates, as far as the ledger
-- still says the same; `is_archived`: their bars are in a file
SELECT symbol, session, owed, kept.stored AS kept_stored,
       kept.unavailable, kept.refused, kept.no_trade,
       EXISTS (SELECT FROM archived_months
               WHERE table_name = 'stocks_1m'
                 AND session BETWEEN first_session AND last_session) AS is_archived
FROM kept_sessions AS kept
LEFT JOIN (SELECT symbol, session,
                  sum(stamps) FILTER (WHERE state IN ('no_trade', 'halted')) AS no_trade,
                  sum(stamps) FILTER (WHERE state = 'unavailable') AS unavailable,
                  sum(stamps) FILTER (WHERE state = 'refused') AS refused,
                  sum(stamps) FILTER (WHERE state = 'open') AS open
           FROM gaps WHERE session BETWEEN {first} AND {last} AND market = 'stocks'
           GROUP BY symbol, session) AS ledger USING (symbol, session)
WHERE market = 'stocks' AND kept.open = 0 AND session BETWEEN {first} AND {last}
  AND owed = kept.stored + kept.no_trade + kept.unavailable + kept.refused
  AND kept.no_trade = coalesce(ledger.no_trade, 0)
  AND kept.unavailable = coalesce(ledger.unavailable, 0)
  AND kept.refused = coalesce(ledger.refused, 0)
  AND coalesce(ledger.open, 0) = 0
