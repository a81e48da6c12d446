-- The columns of one table or view, as its comments describe them.
SELECT
    a.attname AS column_name,
    format_type(a.atttypid, a.atttypmod) AS type,
    CASE WHEN coalesce(key.columns, ARRAY[]::int2[]) @> ARRAY[a.attnum] THEN 'key' ELSE '' END AS key,
    col_description(a.attrelid, a.attnum) AS holds
FROM pg_attribute AS a
JOIN pg_class AS c ON c.oid = a.attrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN LATERAL (
    SELECT i.indkey::int2[] AS columns FROM pg_index AS i
    WHERE i.indrelid = c.oid AND i.indisprimary
) AS key ON true
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p', 'v', 'm')
  AND a.attnum > 0 AND NOT a.attisdropped AND c.relname = {table}
ORDER BY a.attnum
