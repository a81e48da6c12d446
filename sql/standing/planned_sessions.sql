-- What collectors set out to collect in sessions between two dates
SELECT symbol, session FROM collected_symbols WHERE session BETWEEN {first} AND {last}
