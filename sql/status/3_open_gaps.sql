-- Open gaps
SELECT symbol, session, market, first_stamp, last_stamp, stamps, attempts, reason, updated_at
FROM gaps
WHERE state = 'open'
ORDER BY session DESC, symbol, first_stamp
