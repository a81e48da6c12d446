-- migrate:up

-- What settles a missing minute: docs/reliability.md#what-settles-a-minute. A second answer counts only
-- hours after the first, so the ledger has to know when KIS gave it.
ALTER TABLE gaps ADD COLUMN answered_at timestamp;
ALTER TABLE gaps DROP CONSTRAINT gaps_state_check;
ALTER TABLE gaps ADD CONSTRAINT gaps_state_check
    CHECK (state IN ('open', 'filled', 'no_trade', 'refused', 'unavailable'));
COMMENT ON COLUMN gaps.answered_at IS
    'KIS''s time of the last answer that counted, KST without zone; NULL if none did';
COMMENT ON COLUMN gaps.attempts IS 'How many answers of KIS about it counted';
COMMENT ON COLUMN gaps.state IS
    'open: to be fetched; filled; no_trade: KIS says that nothing traded; refused: KIS gives a row for '
    'it that cannot be a bar, asked for again later; unavailable: KIS no longer serves it';

ALTER TABLE kept_sessions ADD COLUMN refused bigint NOT NULL DEFAULT 0;
ALTER TABLE kept_sessions ALTER COLUMN refused DROP DEFAULT;
COMMENT ON COLUMN kept_sessions.refused IS 'How many KIS gives a row for that cannot be a bar';

-- Two empty answers seconds apart used to settle a minute, and rows that were refused (beyond a price
-- limit among them) counted as no rows. What may have been settled so is open again: minutes of front
-- months, whole sessions, and sessions of which rows were refused.
WITH doubtful AS (
    UPDATE gaps AS g
    SET state = 'open', attempts = 0,
        reason = 'settled by a rule that proved too little; to be asked again'
    WHERE g.state = 'no_trade' AND (
        EXISTS (
            SELECT FROM front_months AS f
            WHERE f.symbol = g.symbol AND g.session BETWEEN f.first_day AND f.last_day)
        OR EXISTS (
            SELECT FROM kept_sessions AS k
            WHERE k.symbol = g.symbol AND k.session = g.session AND k.stored = 0)
        OR EXISTS (
            SELECT FROM rejected_rows AS r
            WHERE r.symbol = g.symbol
              AND r.reason NOT IN (
                  'another date', 'outside the session', 'another row of the same minute')
              AND r.raw LIKE '%"stck_bsop_date":"' || to_char(g.session, 'YYYYMMDD') || '"%'))
    RETURNING g.symbol, g.session, g.stamps
), counted AS (
    SELECT symbol, session, sum(stamps)::bigint AS stamps FROM doubtful GROUP BY symbol, session
)
UPDATE kept_sessions AS k
SET open = k.open + counted.stamps, no_trade = k.no_trade - counted.stamps, validated = false
FROM counted
WHERE k.symbol = counted.symbol AND k.session = counted.session;

-- migrate:down
-- A system of record goes forward only.
