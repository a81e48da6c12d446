-- migrate:up

-- One answer used to settle a minute between its bars. An answer that leaves out a row in its middle looks
-- just the same, so now the turnover of its rows has to say that nothing was traded in between, or a second
-- answer hours later lacks the bar too (docs/reliability.md#what-settles-a-minute). What one answer settled
-- is open again: attempts is the number of answers that counted. Of sessions older than a year it stays as
-- it is, since KIS keeps no more than that and could say nothing about them (docs/kis.md#depth).
WITH doubtful AS (
    UPDATE gaps AS g
    SET state = 'open', attempts = 0, answered_at = NULL,
        reason = 'settled by one answer, which proves too little; to be asked again'
    WHERE g.state = 'no_trade' AND g.attempts < 2
        AND g.session > (now() AT TIME ZONE 'Asia/Seoul')::date - 365
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
