-- An index of trigrams also offers itself for `lower(name) = …`, and where the value is a parameter Postgres takes it to be as cheap as
-- the index by name, which it is not by far. So it stands over an expression that only parts of texts are looked for in.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_trgm') THEN
        DROP INDEX IF EXISTS subscriptions_texts;
        CREATE INDEX subscriptions_texts ON subscriptions
            USING gin ((lower(name) || '') gin_trgm_ops, (lower(display_name) || '') gin_trgm_ops, (lower(state_comment) || '') gin_trgm_ops);
        DROP INDEX IF EXISTS users_texts;
        CREATE INDEX users_texts ON users
            USING gin ((lower(email) || '') gin_trgm_ops, (lower(first_name) || '') gin_trgm_ops, (lower(last_name) || '') gin_trgm_ops);
    END IF;
END
$$;
