-- migrate:up

-- Two trades of a symbol cannot leave the same volume of the session, so one of them is a record under a
-- wrong code or a mistake of KIS's. The one that came first stays, the other is kept as rejected.
CREATE FUNCTION reject_clashing_trade() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO rejected_rows (
        received_at, tr_id, symbol, reason, raw, first_received_at, committed_at)
    VALUES (
        NEW.received_at, 'trades', NEW.symbol, 'another trade has this volume of the session',
        (to_jsonb(NEW) - 'received_at' - 'committed_at')::text, NEW.received_at, NEW.committed_at)
    ON CONFLICT (tr_id, symbol, reason, raw_md5) DO NOTHING;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION reject_clashing_trade IS
    'Keeps the first of two trades with one volume of the session, and the other one as rejected';
REVOKE ALL ON FUNCTION reject_clashing_trade FROM PUBLIC;

CREATE TRIGGER reject_clashing_trade BEFORE UPDATE ON trades FOR EACH ROW
    WHEN ((OLD.traded_at, OLD.price, OLD.size) IS DISTINCT FROM (NEW.traded_at, NEW.price, NEW.size))
    EXECUTE FUNCTION reject_clashing_trade();

-- migrate:down
-- A system of record goes forward only.
