-- severity: warning
-- says: trades are missing among those that are stored, or KIS counts volume that no trade of the feed had
-- fix: nothing
WITH stretches AS (  -- the trades around one may bear times in another order
    SELECT symbol, session, missing, bars_agree,
           least(coalesce(after, opens), coalesce(before, ends)) AS first_moment,
           greatest(coalesce(after, opens), coalesce(before, ends)) AS last_moment
    FROM missing_trades
), reached AS (
    SELECT *,
           max(last_moment) OVER (
               PARTITION BY symbol, session, missing > 0 ORDER BY first_moment, last_moment
               ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS until
    FROM stretches
), runs AS (  -- less than a minute apart
    SELECT *,
           count(*) FILTER (WHERE until IS NULL OR first_moment > until + INTERVAL 1 MINUTE) OVER (
               PARTITION BY symbol, session, missing > 0 ORDER BY first_moment, last_moment) AS run
    FROM reached
)
SELECT symbol, session, min(first_moment) AS first_stamp, max(last_moment) AS last_stamp,
       date_diff('minute', min(first_moment), max(last_moment)) + 1 AS bars,
       format(CASE WHEN missing < 0 THEN 'between {} and {} trades are larger by {:,} than the volume grew'
                   WHEN bars_agree THEN 'between {} and {} KIS counts a volume of {:,} that neither trades nor bars have'
                   ELSE 'between {} and {} a volume of {:,} is missing among the trades' END,
              strftime(min(first_moment), '%H:%M:%S'), strftime(max(last_moment), '%H:%M:%S'),
              abs(sum(missing))::BIGINT) AS detail
FROM runs
GROUP BY symbol, session, missing > 0, missing < 0, bars_agree, run
