-- migrate:up

-- What is stored of each closed session. It is settled when nothing is open: every expected stamp is
-- stored or explained in the ledger. It is validated while the checks find nothing in it.
CREATE TABLE kept_sessions (
    symbol       text      NOT NULL,
    session      date      NOT NULL,
    market       text      NOT NULL,
    owed         bigint    NOT NULL,
    stored       bigint    NOT NULL,
    no_trade     bigint    NOT NULL,
    unavailable  bigint    NOT NULL,
    open         bigint    NOT NULL,
    validated    boolean   NOT NULL,
    updated_at   timestamp NOT NULL,
    committed_at timestamp NOT NULL,
    PRIMARY KEY (symbol, session)
);
COMMENT ON TABLE kept_sessions IS 'Closed sessions and what is kept of them; settled where open is 0';
COMMENT ON COLUMN kept_sessions.symbol IS 'Code of the instrument; of option chains the underlying_symbol';
COMMENT ON COLUMN kept_sessions.session IS 'Date on which the session begins, KST';
COMMENT ON COLUMN kept_sessions.market IS 'stocks, derivatives or chain';
COMMENT ON COLUMN kept_sessions.owed IS 'Bars (of chains: snapshots) that the session owes';
COMMENT ON COLUMN kept_sessions.stored IS 'How many of them are stored';
COMMENT ON COLUMN kept_sessions.no_trade IS 'How many KIS does not have, for want of a trade';
COMMENT ON COLUMN kept_sessions.unavailable IS 'How many KIS no longer has';
COMMENT ON COLUMN kept_sessions.open IS 'How many are missing and not explained yet';
COMMENT ON COLUMN kept_sessions.validated IS 'Whether the last validation found nothing in the session';
COMMENT ON COLUMN kept_sessions.updated_at IS 'When this was last said, KST';
COMMENT ON COLUMN kept_sessions.committed_at IS 'When the row was merged, KST';

-- Two runs of the ledger can grow into one, and the second row must go. The writer may not delete, so
-- it calls this function, which deletes a row only if another row of the session covers its first
-- stamp.
CREATE FUNCTION forget_gaps(symbols text[], sessions date[], first_stamps timestamp[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DELETE FROM gaps AS g
    USING unnest(symbols, sessions, first_stamps) AS given (symbol, session, first_stamp)
    WHERE (g.symbol, g.session, g.first_stamp) = (given.symbol, given.session, given.first_stamp)
      AND EXISTS (
          SELECT FROM gaps AS other
          WHERE other.symbol = g.symbol AND other.session = g.session
            AND other.first_stamp < g.first_stamp AND other.last_stamp >= g.first_stamp);
$$;
COMMENT ON FUNCTION forget_gaps IS 'Removes rows of the ledger that other rows have grown over';

-- Which contract was, is and will be the front month, by the calendar; for views.
CREATE TABLE front_months (
    product      text      NOT NULL,
    symbol       text      NOT NULL,
    first_day    date      NOT NULL,
    last_day     date      NOT NULL,
    updated_at   timestamp NOT NULL,
    committed_at timestamp NOT NULL,
    PRIMARY KEY (product, symbol)
);
COMMENT ON TABLE front_months IS 'The time in front of each futures contract, from the calendar';
COMMENT ON COLUMN front_months.product IS 'Prefix of the product in the codes of 2026 on: A01';
COMMENT ON COLUMN front_months.symbol IS 'Code of the contract: 101W09, A01612';
COMMENT ON COLUMN front_months.first_day IS 'First session in front, the one after the roll';
COMMENT ON COLUMN front_months.last_day IS 'Last session in front, its expiry';
COMMENT ON COLUMN front_months.updated_at IS 'When the calendar was asked, KST';
COMMENT ON COLUMN front_months.committed_at IS 'When the row was merged, KST';

-- A bar that looks wrong is right if KIS gave the same values when asked again.
CREATE TABLE confirmed_bars (
    timestamp    timestamp        NOT NULL,
    symbol       text             NOT NULL,
    open         double precision NOT NULL,
    high         double precision NOT NULL,
    low          double precision NOT NULL,
    close        double precision NOT NULL,
    volume       bigint           NOT NULL,
    confirmed_at timestamp        NOT NULL,
    committed_at timestamp        NOT NULL,
    PRIMARY KEY (symbol, timestamp)
);
COMMENT ON TABLE confirmed_bars IS 'Bars that looked wrong and that KIS gave again when asked again';
COMMENT ON COLUMN confirmed_bars.timestamp IS 'End of the minute, KST';
COMMENT ON COLUMN confirmed_bars.symbol IS 'Code of the instrument';
COMMENT ON COLUMN confirmed_bars.open IS 'Index points, of stocks KRW';
COMMENT ON COLUMN confirmed_bars.high IS 'Index points, of stocks KRW';
COMMENT ON COLUMN confirmed_bars.low IS 'Index points, of stocks KRW';
COMMENT ON COLUMN confirmed_bars.close IS 'Index points, of stocks KRW';
COMMENT ON COLUMN confirmed_bars.volume IS 'Contracts or shares in the minute';
COMMENT ON COLUMN confirmed_bars.confirmed_at IS 'When KIS gave the bar again, KST';
COMMENT ON COLUMN confirmed_bars.committed_at IS 'When the row was merged, KST';

-- Rows that `just validate --fix` took out of a table because KIS cannot have given them.
CREATE TABLE removed_bars (
    id           bigint           GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    table_name   text             NOT NULL,
    timestamp    timestamp        NOT NULL,
    symbol       text             NOT NULL,
    open         double precision,
    high         double precision,
    low          double precision,
    close        double precision,
    volume       bigint,
    fetched_at   timestamp,
    committed_at timestamp,
    reason       text             NOT NULL,
    removed_at   timestamp        NOT NULL
);
COMMENT ON TABLE removed_bars IS 'Rows that a repair took out of a table, and why';
COMMENT ON COLUMN removed_bars.id IS 'Counts up';
COMMENT ON COLUMN removed_bars.table_name IS 'Table that the row stood in';
COMMENT ON COLUMN removed_bars.timestamp IS 'As it stood, KST';
COMMENT ON COLUMN removed_bars.symbol IS 'As it stood';
COMMENT ON COLUMN removed_bars.open IS 'As it stood: index points, of stocks KRW';
COMMENT ON COLUMN removed_bars.high IS 'As it stood: index points, of stocks KRW';
COMMENT ON COLUMN removed_bars.low IS 'As it stood: index points, of stocks KRW';
COMMENT ON COLUMN removed_bars.close IS 'As it stood: index points, of stocks KRW';
COMMENT ON COLUMN removed_bars.volume IS 'As it stood: contracts or shares';
COMMENT ON COLUMN removed_bars.fetched_at IS 'As it stood, KST';
COMMENT ON COLUMN removed_bars.committed_at IS 'As it stood, KST';
COMMENT ON COLUMN removed_bars.reason IS 'The check that found it';
COMMENT ON COLUMN removed_bars.removed_at IS 'When it was taken out, KST';

-- Which contract rolled into which, and by how much the new one was dearer at the last minute in which
-- both traded on the old one's last day. `adjustment` is the sum of that and of all later
-- differences: add it to a price of the old contract to compare it with the newest stored one. NULL
-- where the two contracts have no minute of that day in common: no number is better than a wrong
-- one.
CREATE VIEW futures_rolls AS
WITH stored AS (
    SELECT f.*, lead(symbol) OVER contracts AS next_symbol, lead(first_day) OVER contracts AS roll_day
    FROM front_months AS f
    WHERE EXISTS (
        SELECT FROM futures_1m AS b
        WHERE b.symbol = f.symbol AND b.product = lower(left(f.symbol, 3))
          AND b.timestamp >= f.first_day AND b.timestamp < f.last_day + 1)
    WINDOW contracts AS (PARTITION BY product ORDER BY last_day)
), differences AS (
    SELECT stored.*, at_roll.difference
    FROM stored
    LEFT JOIN LATERAL (
        SELECT fresh.close - old.close AS difference
        FROM futures_1m AS old
        JOIN futures_1m AS fresh
          ON fresh.timestamp = old.timestamp AND fresh.symbol = next_symbol
         AND fresh.product = lower(left(next_symbol, 3))
        WHERE old.symbol = stored.symbol AND old.product = lower(left(stored.symbol, 3))
          AND old.timestamp >= last_day AND old.timestamp < last_day + 1
        ORDER BY old.timestamp DESC LIMIT 1) AS at_roll ON true
)
SELECT product, symbol, first_day, last_day, next_symbol, roll_day, difference,
       CASE WHEN next_symbol IS NULL THEN 0.0
            WHEN bool_and(difference IS NOT NULL OR next_symbol IS NULL) OVER later
            THEN sum(difference) OVER later END AS adjustment
FROM differences
WINDOW later AS (PARTITION BY product ORDER BY last_day DESC);
COMMENT ON VIEW futures_rolls IS 'Stored front months of each product, their rolls and adjustments';

CREATE VIEW futures_front AS
SELECT bars.timestamp, rolls.product, bars.symbol,
       bars.open, bars.high, bars.low, bars.close, bars.volume,
       bars.open + adjustment AS adjusted_open, bars.high + adjustment AS adjusted_high,
       bars.low + adjustment AS adjusted_low, bars.close + adjustment AS adjusted_close,
       rolls.first_day, rolls.last_day, rolls.roll_day
FROM futures_rolls AS rolls
JOIN futures_1m AS bars
  ON bars.symbol = rolls.symbol AND bars.product = lower(left(rolls.symbol, 3))
 AND bars.timestamp >= rolls.first_day AND bars.timestamp < rolls.last_day + 1;
COMMENT ON VIEW futures_front IS
    'Front month series, unadjusted and back-adjusted by the difference of the contracts at the roll';

-- migrate:down
-- A system of record goes forward only.
