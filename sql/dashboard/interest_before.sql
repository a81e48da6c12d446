-- Open interest before the day: of the chain's last snapshot of an earlier session, else of the day's first one
SELECT timestamp, strike, option_type, open_interest
FROM option_chain_raw
WHERE underlying_symbol = {chain}
  AND timestamp = coalesce(
    (SELECT max(timestamp) FROM option_summary WHERE underlying_symbol = {chain} AND timestamp < {begin}),
    (SELECT min(timestamp) FROM option_summary
     WHERE underlying_symbol = {chain} AND timestamp >= {begin} AND timestamp <= {now}))
