-- Tables with a strategy's signals
SELECT relname::text AS name
FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
  AND relname LIKE '%\_signal' AND attname = 'committed_at'
ORDER BY relname
