-- Sizes of the largest tables, and their growth a month
WITH history AS (
    SELECT greatest(1, (max(session) - min(session)) / 30.4) AS months FROM kept_sessions
), relations AS (
    SELECT coalesce(i.inhparent, c.oid) AS root,
           greatest(c.reltuples, s.n_live_tup, 0) AS rows,
           pg_total_relation_size(c.oid) AS bytes
    FROM pg_class AS c
    LEFT JOIN pg_inherits AS i ON i.inhrelid = c.oid
    LEFT JOIN pg_stat_all_tables AS s ON s.relid = c.oid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
), sizes AS (
    SELECT root::regclass::text AS table_name, 'database' AS kept_in, sum(rows)::bigint AS rows,
           sum(bytes)::bigint AS bytes
    FROM relations GROUP BY root
    UNION ALL
    SELECT table_name, 'files', sum(rows)::bigint, sum(bytes)::bigint
    FROM archived_months GROUP BY table_name
)
SELECT table_name, kept_in, rows, pg_size_pretty(bytes) AS size,
       pg_size_pretty((bytes / months)::bigint) AS a_month
FROM sizes, history
WHERE bytes > 10000000
ORDER BY bytes DESC
LIMIT 8
