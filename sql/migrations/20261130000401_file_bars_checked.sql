-- migrate:up

-- Reads the bars while merges go on.
ALTER TABLE futures_1m VALIDATE CONSTRAINT futures_1m_source_check;
ALTER TABLE futures_night_1m VALIDATE CONSTRAINT futures_night_1m_source_check;
ALTER TABLE stocks_1m VALIDATE CONSTRAINT stocks_1m_source_check;
ALTER TABLE stocks_venue_1m VALIDATE CONSTRAINT stocks_venue_1m_source_check;

-- migrate:down
-- A system of record goes forward only.
