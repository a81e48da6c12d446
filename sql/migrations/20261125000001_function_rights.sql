-- migrate:up

-- A function that runs with its owner's rights is granted only to the roles that need it. Otherwise a
-- reader could delete rows of the ledger through forget_gaps, or attach a trigger function to a
-- table of its own and so write invented rows into the history of corrections. Existing triggers
-- fire for every writer: the right is checked when a trigger is made.
REVOKE ALL ON FUNCTION forget_gaps, keep_replaced_bar, keep_given_signal FROM PUBLIC;

-- A writer role that exists already works on without `just db-roles` being run again.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'krt_writer') THEN
        GRANT EXECUTE ON FUNCTION forget_gaps TO krt_writer;
    END IF;
END $$;

-- migrate:down
-- A system of record goes forward only.
