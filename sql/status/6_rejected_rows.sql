-- Rejected rows by reason
SELECT tr_id, symbol, reason, count(*) AS rows, sum(times)::bigint AS times,
       min(first_received_at) AS first_received_at, max(received_at) AS received_at
FROM rejected_rows
GROUP BY tr_id, symbol, reason
ORDER BY received_at DESC
LIMIT 20
