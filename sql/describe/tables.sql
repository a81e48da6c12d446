-- What there is to read, without the partitions of a table and dbmate's own; rows are Postgres's own estimate.
SELECT
    c.relname AS name,
    CASE c.relkind WHEN 'v' THEN 'view' ELSE 'table' END AS kind,
    CASE WHEN c.relkind <> 'v' THEN (
        SELECT coalesce(sum(greatest(part.reltuples, 0)), 0)::bigint
        FROM pg_partition_tree(c.oid) AS leaf
        JOIN pg_class AS part ON part.oid = leaf.relid
        WHERE leaf.isleaf
    ) END AS rows_about,
    CASE WHEN c.relkind <> 'v' THEN (
        SELECT pg_size_pretty(coalesce(sum(pg_total_relation_size(leaf.relid)), 0))
        FROM pg_partition_tree(c.oid) AS leaf
    ) END AS size,
    obj_description(c.oid, 'pg_class') AS holds
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition
  AND c.relname <> 'schema_migrations'
ORDER BY name
