-- The newest snapshot of an option chain
SELECT max(timestamp) AS timestamp FROM option_summary
