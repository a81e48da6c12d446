-- migrate:up

-- What is odd but what KIS gave (a price limit, a jump) is stored and reported, and no longer keeps a
-- session from the export.
COMMENT ON COLUMN kept_sessions.validated IS
    'Whether the last validation found no error in the session; warnings do not count';
COMMENT ON TABLE confirmed_bars IS
    'Bars that looked wrong and that KIS gave twice: in two answers of a day, or when asked again';
COMMENT ON COLUMN confirmed_bars.confirmed_at IS 'When KIS gave the bar again for the first time, KST';

-- migrate:down
-- A system of record goes forward only.
