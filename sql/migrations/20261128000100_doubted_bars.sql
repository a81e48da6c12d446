-- migrate:up

-- An odd bar is removed by the same evidence that settles a minute as without a trade
-- (docs/reliability.md#what-settles-a-minute). Where one answer that lacks it is half of the proof, that is
-- kept here until a second one comes.
CREATE TABLE doubted_bars (
    symbol       text NOT NULL,
    session      date NOT NULL,
    stamp        timestamp NOT NULL,
    answered_at  timestamp NOT NULL,
    committed_at timestamp NOT NULL,
    PRIMARY KEY (symbol, session, stamp)
);
COMMENT ON TABLE doubted_bars IS 'Stored bars that look wrong and that one answer of KIS lacked; a second one removes them';
COMMENT ON COLUMN doubted_bars.symbol IS 'Code of the instrument';
COMMENT ON COLUMN doubted_bars.session IS 'Day on which the session began';
COMMENT ON COLUMN doubted_bars.stamp IS 'End of the minute, KST without zone';
COMMENT ON COLUMN doubted_bars.answered_at IS 'When KIS answered without the bar, by its own clock, KST without zone';
COMMENT ON COLUMN doubted_bars.committed_at IS 'When the row was merged, KST without zone';

-- migrate:down
-- A system of record goes forward only.
