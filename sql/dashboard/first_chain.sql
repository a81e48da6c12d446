-- The first snapshot of an option chain of a day
SELECT timestamp, underlying_symbol, symbol, strike, option_type, open_interest
FROM option_chain_raw
WHERE underlying_symbol = {chain}
  AND timestamp = (SELECT min(timestamp) FROM option_chain_raw
                   WHERE underlying_symbol = {chain} AND timestamp >= {begin}
                     AND timestamp <= {now})
