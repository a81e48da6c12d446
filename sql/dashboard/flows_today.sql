-- Net buying of the large groups of investors of a day until a moment, sums of the day
SELECT timestamp, symbol, investor, net_volume, net_amount
FROM investor_flows
WHERE investor IN ('foreign', 'institution', 'individual')
  AND timestamp >= {begin} AND timestamp <= {now}
ORDER BY timestamp
