-- severity: warning
-- says: a price jumps away and back, and the bars around it do not
-- fix: fetch
-- A bar is compared with the median of the five bars before it and with that of the five after it;
-- the smaller difference counts. So a move that lasts is not a jump, and two wrong bars in a row
-- are found. Real bars differed by at most 0.62 % (futures, 35,741 bars) and 6.2 % (stocks, 125,000
-- bars); the thresholds are 1 % and 10 %, and on wild days 15 times the day's median bar range (real
-- bars reached 9 times). At the ends of the history, where bars are on one side only, the
-- threshold is doubled. Bars at times at which none is expected belong to the check `unexpected`
-- and do not count as neighbours.
-- A real market moves in steps, however fast, a wrong bar stands alone: so a bar is not a jump that
-- opens where the bar before closed and closes where the one after opens (to half the threshold),
-- and whose high and low are not further from these. Nor is one at a price limit or beyond it
-- (8 %, stocks 30 %, from the last close before; docs/kis.md#price-limits) if three or more bars of
-- the session were: there the market stands, is halted, and goes on elsewhere.
WITH expected AS (
    FROM bars
    WHERE context
       OR EXISTS (FROM expected_stamps AS e WHERE e.symbol = bars.symbol AND stamp = timestamp)
), ranked AS (
    SELECT symbol, session, timestamp, open, high, low, close, context, confirmed,
           row_number() OVER by_time AS bar_number,
           lag(close) OVER by_time AS close_before, lead(open) OVER by_time AS open_after,
           lag(high) OVER by_time AS high_before, lead(high) OVER by_time AS high_after,
           lag(low) OVER by_time AS low_before, lead(low) OVER by_time AS low_after
    FROM expected
    WHERE low > 0
    WINDOW by_time AS (PARTITION BY symbol ORDER BY timestamp)
), volatility AS (
    SELECT symbol, session, median(high / low - 1) AS usual FROM ranked GROUP BY symbol, session
), candidates AS (
    SELECT ranked.*,
           greatest(CASE kind WHEN 'stocks' THEN 0.10 ELSE 0.01 END, 15 * usual) AS threshold
    FROM ranked
    JOIN instruments USING (symbol)
    JOIN volatility USING (symbol, session)
    WHERE NOT context AND NOT confirmed
      AND (high > (1 + threshold) * least(high_before, high_after)
           OR low * (1 + threshold) < greatest(low_before, low_after))
      AND NOT coalesce(
          greatest(open / close_before, close_before / open,
                   close / open_after, open_after / close) <= 1 + threshold / 2
          AND high <= greatest(open, close) * (1 + threshold)
          AND low * (1 + threshold) >= least(open, close), false)
), closes AS (
    SELECT symbol, number + 1 AS number, arg_max(close, timestamp) AS base
    FROM expected JOIN trading_days USING (session)
    GROUP BY symbol, number
), at_limit AS (
    SELECT symbol, session, timestamp,
           low <= base * (1 - reach) AS falls, high >= base * (1 + reach) AS rises
    FROM (FROM expected JOIN instruments USING (symbol)
          SELECT expected.*, CASE kind WHEN 'stocks' THEN 0.295 ELSE 0.077 END AS reach)
    JOIN trading_days USING (session)
    JOIN closes USING (symbol, number)
), limited AS (
    FROM at_limit
    SELECT symbol, session, timestamp
    WINDOW whole AS (PARTITION BY symbol, session)
    QUALIFY falls AND count_if(falls) OVER whole >= 3
         OR rises AND count_if(rises) OVER whole >= 3
), around AS (
    SELECT c.symbol, c.session, c.timestamp, c.high, c.low, c.threshold,
           median(r.high) FILTER (r.bar_number < c.bar_number) AS high_before,
           median(r.high) FILTER (r.bar_number > c.bar_number) AS high_after,
           median(r.low) FILTER (r.bar_number < c.bar_number) AS low_before,
           median(r.low) FILTER (r.bar_number > c.bar_number) AS low_after
    FROM candidates AS c
    JOIN ranked AS r ON r.symbol = c.symbol AND abs(r.bar_number - c.bar_number) BETWEEN 1 AND 5
    GROUP BY c.symbol, c.session, c.timestamp, c.high, c.low, c.threshold
), compared AS (
    SELECT *,
           CASE WHEN high_before IS NULL OR high_after IS NULL THEN 2 ELSE 1 END * threshold
               AS allowed,
           greatest(high / greatest(high_before, high_after), least(low_before, low_after) / low) - 1
               AS away
    FROM around
)
SELECT symbol, session, timestamp AS first_stamp, timestamp AS last_stamp, 1 AS bars,
       format('{:.2f} % away from the bars around it, low {}, high {}', 100 * away, low, high)
           AS detail
FROM compared
ANTI JOIN limited USING (symbol, session, timestamp)
WHERE away > allowed
