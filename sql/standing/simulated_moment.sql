-- The time in a simulation: where its collector is, else where its last backfill was
SELECT coalesce((SELECT max(timestamp) FROM system_status),
                (SELECT max(updated_at) FROM kept_sessions),
                (SELECT max(updated_at) FROM gaps)) AS moment
