-- Corrected sessions, newest first
SELECT table_name, symbol, session, bars, kind, factor, replaced_at
FROM corrections
ORDER BY replaced_at DESC, symbol, session
LIMIT 20
