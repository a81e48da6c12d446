-- Missing minutes of the ledger, sessions that are not validated, corrected sessions; newest first
SELECT symbol, session, 'gap' AS what,
       stamps || ' ' || state || ' from ' || to_char(first_stamp, 'HH24:MI') || ' to '
       || to_char(last_stamp, 'HH24:MI') || coalesce(': ' || reason, '') AS detail
FROM gaps WHERE state IN ('open', 'unavailable', 'refused')
UNION ALL
SELECT symbol, session, 'not validated',
       open || ' open, ' || unavailable || ' unavailable of ' || owed
FROM kept_sessions WHERE NOT validated
UNION ALL
SELECT symbol, session, kind, bars || ' bars replaced at ' || to_char(replaced_at, 'YYYY-MM-DD HH24:MI')
FROM corrections
ORDER BY session DESC, symbol, what
LIMIT 500
