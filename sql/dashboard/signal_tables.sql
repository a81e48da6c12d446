-- The tables of signals that exist; a strategy's is made when its first signal is stored
SELECT relname::text AS name
FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND relname LIKE '%\_signal'
ORDER BY name
