-- What is listed and what is listed no more, with its state: a row for each name of a code
WITH periods AS (
    SELECT *, max(seen_last) OVER (PARTITION BY market) AS newest,
           lag(name) OVER codes IS DISTINCT FROM name OR lag(market) OVER codes IS DISTINCT FROM market AS renamed
    FROM stock_listings WINDOW codes AS (PARTITION BY symbol ORDER BY seen_first)
), numbered AS (
    SELECT *, count(*) FILTER (WHERE renamed) OVER (PARTITION BY symbol ORDER BY seen_first) AS number
    FROM periods
), named AS (
    SELECT DISTINCT ON (symbol, number) *, min(seen_first) OVER (PARTITION BY symbol, number) AS named_first
    FROM numbered ORDER BY symbol, number, seen_first DESC
), listed AS (
    SELECT *, lead(name) OVER codes AS next_name, lead(market) OVER codes AS next_market
    FROM named WINDOW codes AS (PARTITION BY symbol ORDER BY number)
)
SELECT symbol AS code, name, market, kind, index_member,
       CASE WHEN next_name <> name THEN 'now ' || next_name
            WHEN next_name IS NOT NULL THEN 'now of ' || next_market
            WHEN seen_last < newest THEN 'listed no more'
            WHEN listed_from > newest THEN 'not listed yet'
            WHEN liquidating THEN 'in liquidation'
            WHEN halted THEN 'halted'
            WHEN managed THEN 'under supervision'
            ELSE 'listed' END AS state,
       listed_from, named_first AS seen_first, seen_last
FROM listed
