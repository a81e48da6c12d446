-- Which symbols came by the feed in a session, and why not the others
SELECT session, symbol, by_feed, since, reason FROM feed_symbols
WHERE session = {session}
ORDER BY symbol
