-- migrate:up

-- A function that runs with its owner's rights is for those who need it, not for everybody. Through
-- forget_gaps a reader could have taken rows out of the ledger; a trigger function could be hung on
-- any table of one's own, and would then write made-up rows into the history of corrections.
-- Triggers that are there fire whoever writes: the right is asked for when one is made.
REVOKE ALL ON FUNCTION forget_gaps, keep_replaced_bar, keep_given_signal FROM PUBLIC;

-- A writer that was made before goes on without `just db-roles` being run again.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'krt_writer') THEN
        GRANT EXECUTE ON FUNCTION forget_gaps TO krt_writer;
    END IF;
END $$;

-- migrate:down
-- A system of record goes forward only.
