-- severity: warning
-- says: programme trading contradicts itself (net is not bought less sold, or not the sum of both kinds)
-- fix: nothing
SELECT symbol, session, timestamp AS first_stamp, timestamp AS last_stamp, 1 AS bars,
       format('arbitrage {} - {} = {}, other {} - {} = {}, both {}', arbitrage_bought, arbitrage_sold,
              arbitrage_net, other_bought, other_sold, other_net, net) ||
       coalesce(format('; volumes: arbitrage {} - {} = {}, other {} - {} = {}, both {}', arbitrage_bought_volume,
                       arbitrage_sold_volume, arbitrage_net_volume, other_bought_volume, other_sold_volume,
                       other_net_volume, net_volume), '') AS detail
FROM programme_trades
WHERE abs(arbitrage_bought - arbitrage_sold - arbitrage_net) > 1
   OR abs(other_bought - other_sold - other_net) > 1
   OR abs(arbitrage_net + other_net - net) > 1
   OR abs(arbitrage_bought_volume - arbitrage_sold_volume - arbitrage_net_volume) > 1
   OR abs(other_bought_volume - other_sold_volume - other_net_volume) > 1
   OR abs(arbitrage_net_volume + other_net_volume - net_volume) > 1
