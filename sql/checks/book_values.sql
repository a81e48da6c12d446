-- severity: warning
-- says: a minute of the book has a hole of half a minute or more, or no update at all
-- fix: nothing
SELECT symbol, session, timestamp AS first_stamp, timestamp AS last_stamp, 1 AS bars,
       format('{} updates, none for {} s', updates, round(longest_pause, 1)) AS detail
FROM book_minutes
WHERE updates < 1 OR longest_pause >= 30
