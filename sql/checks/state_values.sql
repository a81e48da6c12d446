-- severity: warning
-- says: what KIS shows of a future contradicts itself (open interest, bid and ask, basis)
-- fix: nothing
-- KIS's basis is that of the theoretical price, by its own sample; that of the last price fits, too.
SELECT symbol, session, timestamp AS first_stamp, timestamp AS last_stamp, 1 AS bars,
       format('open interest {}, bid {}, ask {}, basis {} of price {}, theoretical price {}, index {}',
              open_interest, bid, ask, basis, price, theoretical_price, index_price) AS detail
FROM futures_state
WHERE open_interest < 0
   OR abs(open_interest_change) > greatest(open_interest, 0) + day_volume
   OR bid > 0 AND ask > 0 AND bid > ask
   OR symbol ~ '^STATE_[A1]0[15]'
      AND least(abs(price - index_price - basis), abs(theoretical_price - index_price - basis)) > 0.021
