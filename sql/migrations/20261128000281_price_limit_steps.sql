-- migrate:up

-- Steps of the futures' price limits are events, too: they begin when a wider limit is first seen, and end with the
-- next one or with the session.
ALTER TABLE market_events DROP CONSTRAINT market_events_kind_check;
ALTER TABLE market_events ADD CONSTRAINT market_events_kind_check
    CHECK (kind IN ('vi', 'circuit_breaker', 'halt', 'sidecar', 'price_limit'));
COMMENT ON COLUMN market_events.kind IS
    'vi: two minutes of auction after a jump; circuit_breaker; halt: of one symbol; sidecar: of programme '
    'trading alone, which halts no symbol; price_limit: a wider limit of a future, which halts nothing';
COMMENT ON COLUMN market_events.code IS
    'KIS''s code of the kind, as it was sent; of a price_limit how far the limit is from the close before, per cent';

-- migrate:down
-- A system of record goes forward only.
