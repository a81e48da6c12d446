-- migrate:up

COMMENT ON COLUMN futures_state.basis IS 'Index points as KIS gives it: in its samples the theoretical price less the index; from the feed the price less the index';

-- migrate:down
-- A system of record goes forward only.
