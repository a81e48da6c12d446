-- severity: error
-- says: a price is not a multiple of the tick
-- fix: fetch
-- Contracts trade on multiples of their tick without exception (35,741 real bars). Stocks do not:
-- KIS's bars hold trades at the middle of bid and ask (1.5 % of 125,000 real bars), ETFs have
-- ticks of their own, and prices adjusted for a corporate action can be anywhere. What holds for all
-- of them is a whole number of KRW, which is the tick that `instruments` has for stocks.
SELECT symbol, session, timestamp AS first_stamp, timestamp AS last_stamp, 1 AS bars,
       format('tick {}: open {}, high {}, low {}, close {}', tick, open, high, low, close) AS detail
FROM bars
JOIN instruments USING (symbol)
WHERE NOT context AND NOT confirmed
  AND isfinite(open) AND isfinite(high) AND isfinite(low) AND isfinite(close)
  AND greatest(
      abs(open - round(open / tick) * tick), abs(high - round(high / tick) * tick),
      abs(low - round(low / tick) * tick), abs(close - round(close / tick) * tick)) > 1e-6
