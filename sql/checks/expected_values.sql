-- severity: warning
-- says: what an auction is expected to give cannot be (a size below zero, a size without a price, a time to come)
-- fix: nothing
SELECT symbol, session, timestamp AS first_stamp, timestamp AS last_stamp, 1 AS bars,
       format('price {}, size {}, said at {}', price, size, strftime(said_at, '%H:%M:%S')) AS detail
FROM expected_prices
WHERE size < 0 OR (size > 0 AND price IS NULL) OR said_at > timestamp
