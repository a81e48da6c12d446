-- Rejected and corrected rows of a day until a moment
SELECT (SELECT count(*) FROM rejected_rows
        WHERE received_at >= {begin} AND received_at <= {now}) AS rejected,
       (SELECT count(*) FROM replaced_bars
        WHERE replaced_at >= {begin} AND replaced_at <= {now}) AS corrected
