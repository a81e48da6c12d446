-- migrate:up

-- The front month by day and night, as front_series(night=True) gives it. A night belongs to the trading
-- day that follows its evening, so the next contract's nights begin on the evening of the expiry: on the
-- last day of the contract before it, which is no night of that one any more.
CREATE VIEW futures_front_nights AS
WITH fronts AS (
    SELECT symbol, lag(last_day) OVER (PARTITION BY product ORDER BY last_day) AS first_evening
    FROM front_months
)
SELECT timestamp, product, symbol, false AS night,
       open, high, low, close, volume, adjusted_open, adjusted_high, adjusted_low, adjusted_close,
       first_day, last_day, roll_day
FROM futures_front
UNION ALL
SELECT bars.timestamp, rolls.product, bars.symbol, true,
       bars.open, bars.high, bars.low, bars.close, bars.volume,
       bars.open + adjustment, bars.high + adjustment,
       bars.low + adjustment, bars.close + adjustment,
       rolls.first_day, rolls.last_day, rolls.roll_day
FROM futures_rolls AS rolls
JOIN fronts USING (symbol)
JOIN futures_night_1m AS bars
  ON bars.symbol = rolls.symbol || '_NIGHT' AND bars.product = lower(left(rolls.symbol, 3))
 AND bars.timestamp >= coalesce(first_evening, first_day - 1) + interval '12 hours'
 AND bars.timestamp < rolls.last_day + interval '12 hours';
COMMENT ON VIEW futures_front_nights IS
    'Front month series of days and nights, unadjusted and back-adjusted; sort it by timestamp';
COMMENT ON COLUMN futures_front_nights.timestamp IS 'End of the minute, KST without zone';
COMMENT ON COLUMN futures_front_nights.symbol IS 'Code at KRX, of a night with _NIGHT';
COMMENT ON COLUMN futures_front_nights.night IS 'Whether the bar is of a night';
COMMENT ON COLUMN futures_front_nights.product IS 'First three characters of the code: A01';
COMMENT ON COLUMN futures_front_nights.open IS 'Index points';
COMMENT ON COLUMN futures_front_nights.high IS 'Index points';
COMMENT ON COLUMN futures_front_nights.low IS 'Index points';
COMMENT ON COLUMN futures_front_nights.close IS 'Index points';
COMMENT ON COLUMN futures_front_nights.volume IS 'Contracts in the minute';
COMMENT ON COLUMN futures_front_nights.adjusted_open IS 'Index points, plus the later differences at the rolls';
COMMENT ON COLUMN futures_front_nights.adjusted_high IS 'Index points, plus the later differences at the rolls';
COMMENT ON COLUMN futures_front_nights.adjusted_low IS 'Index points, plus the later differences at the rolls';
COMMENT ON COLUMN futures_front_nights.adjusted_close IS 'Index points, plus the later differences at the rolls';
COMMENT ON COLUMN futures_front_nights.first_day IS 'First day on which the contract is the front month';
COMMENT ON COLUMN futures_front_nights.last_day IS 'Last trading day of the contract';
COMMENT ON COLUMN futures_front_nights.roll_day IS 'First day of the next stored contract; NULL for the newest';

-- Names of nights stand in `trades`, too, since the feed brings them.
COMMENT ON COLUMN trades.symbol IS
    'Code at KRX, of a night with _NIGHT: the volumes of day and night both begin at zero';

-- What sql/roles.sql gives on views that are there when it runs.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'krt_writer') THEN
        GRANT SELECT ON futures_front_nights TO krt_writer;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'krt_reader') THEN
        GRANT SELECT ON futures_front_nights TO krt_reader;
    END IF;
END $$;

-- migrate:down
-- A system of record goes forward only.
