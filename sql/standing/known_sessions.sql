-- What stands in the ledger, and what was settled, of sessions between two dates
SELECT symbol, session FROM gaps WHERE session BETWEEN {first} AND {last}
UNION
SELECT symbol, session FROM kept_sessions WHERE session BETWEEN {first} AND {last}
