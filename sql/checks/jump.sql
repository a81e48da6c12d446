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
WITH expected AS (
    FROM bars
    WHERE context
       OR EXISTS (FROM expected_stamps AS e WHERE e.symbol = bars.symbol AND stamp = timestamp)
), ranked AS (
    SELECT symbol, session, timestamp, high, low, context, confirmed,
           row_number() OVER by_time AS bar_number,
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
WHERE away > allowed
