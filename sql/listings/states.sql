-- What is listed and what is listed no more, with its state
SELECT symbol AS code, name, market, kind, index_member,
       CASE WHEN next_name <> name THEN 'now ' || next_name
            WHEN next_name IS NOT NULL THEN 'now of ' || next_market
            WHEN seen_last < newest THEN 'listed no more'
            WHEN liquidating THEN 'in liquidation'
            WHEN halted THEN 'halted'
            WHEN managed THEN 'under supervision'
            ELSE 'listed' END AS state,
       listed_from, seen_first, seen_last
FROM (SELECT *, lead(name) OVER (PARTITION BY symbol ORDER BY seen_first) AS next_name,
             lead(market) OVER (PARTITION BY symbol ORDER BY seen_first) AS next_market,
             max(seen_last) OVER (PARTITION BY market) AS newest
      FROM stock_listings) AS listed
