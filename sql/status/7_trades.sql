-- Trades of the feed: in the database (about so many) and in files of old sessions
SELECT 'database' AS kept_in, count(*) AS sessions,
       min(to_date(right(relname, 8), 'YYYYMMDD')) AS first_session,
       max(to_date(right(relname, 8), 'YYYYMMDD')) AS last_session,
       sum(greatest(reltuples, 0))::bigint AS trades,
       pg_size_pretty(sum(pg_total_relation_size(pg_class.oid))) AS size
FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = 'trades'::regclass
HAVING count(*) > 0
UNION ALL
SELECT 'files', count(*), min(session), max(session), sum(rows)::bigint, NULL
FROM trade_files
HAVING count(*) > 0
