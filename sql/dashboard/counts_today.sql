-- Missing, rejected and corrected rows of a day
SELECT (SELECT coalesce(sum(stamps), 0)::bigint FROM gaps
        WHERE state = 'open' AND session = {begin}::date) AS open_gaps,
       (SELECT count(*) FROM rejected_rows
        WHERE received_at >= {begin} AND received_at < {end}) AS rejected,
       (SELECT count(*) FROM replaced_bars
        WHERE replaced_at >= {begin} AND replaced_at < {end}) AS corrected
