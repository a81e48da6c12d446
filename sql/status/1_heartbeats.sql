-- Heartbeats
SELECT component, timestamp, status, message, data_count, last_data_time
FROM system_status
ORDER BY component
