-- migrate:up

-- When trading was halted, as KIS said. It settles no missing minute; of one that is settled as without a
-- trade it says why: state halted (docs/reliability.md#halts).
CREATE TABLE market_events (
    symbol       text NOT NULL,
    kind         text NOT NULL CHECK (kind IN ('vi', 'circuit_breaker', 'halt', 'sidecar')),
    started_at   timestamp NOT NULL,
    ended_at     timestamp CHECK (ended_at >= started_at),
    source       text NOT NULL,
    code         text,
    fetched_at   timestamp NOT NULL,
    committed_at timestamp NOT NULL,
    PRIMARY KEY (symbol, kind, started_at)
);
COMMENT ON TABLE market_events IS 'When trading of a symbol or of a whole market was halted or slowed down, as KIS said';
COMMENT ON COLUMN market_events.symbol IS 'Code, or the market of whose symbols all are meant: stocks, derivatives, night';
COMMENT ON COLUMN market_events.kind IS
    'vi: two minutes of auction after a jump; circuit_breaker; halt: of one symbol; sidecar: of programme '
    'trading alone, which halts no symbol';
COMMENT ON COLUMN market_events.started_at IS 'KST without zone';
COMMENT ON COLUMN market_events.ended_at IS 'KST without zone; NULL while it lasts';
COMMENT ON COLUMN market_events.source IS 'TR id of the answer or frame';
COMMENT ON COLUMN market_events.code IS 'KIS''s code of the kind, as it was sent';
COMMENT ON COLUMN market_events.fetched_at IS 'When KIS''s answer arrived, KST without zone; the latest row of an event counts';
COMMENT ON COLUMN market_events.committed_at IS 'When the row was merged, KST without zone';

ALTER TABLE gaps DROP CONSTRAINT gaps_state_check;
ALTER TABLE gaps ADD CONSTRAINT gaps_state_check
    CHECK (state IN ('open', 'filled', 'no_trade', 'halted', 'refused', 'unavailable'));
COMMENT ON COLUMN gaps.state IS
    'open: to be fetched; filled; no_trade: KIS says that nothing traded; halted: the same, and trading was '
    'halted then (market_events); refused: KIS gives a row for it that cannot be a bar, asked for again '
    'later; unavailable: KIS no longer serves it';
COMMENT ON COLUMN kept_sessions.no_trade IS 'How many KIS does not have, for want of a trade; those of halts too';

-- migrate:down
-- A system of record goes forward only.
