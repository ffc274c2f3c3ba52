-- What lists of many subscriptions are filtered by. Each index ends with the order of the list where it can, so that a page needs no
-- sorting.
CREATE INDEX subscriptions_state ON subscriptions (parent_id, lower(state), lower(name));
CREATE INDEX subscriptions_scope ON subscriptions (parent_id, lower(scope), lower(name));
CREATE INDEX subscriptions_display_name ON subscriptions (parent_id, lower(display_name));
CREATE INDEX subscriptions_state_comment ON subscriptions (parent_id, lower(state_comment)) WHERE state_comment IS NOT NULL;

-- Parts of texts are found by trigrams. The extension comes with most builds of Postgres; without it such a filter reads the rows.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_trgm') THEN
        CREATE EXTENSION IF NOT EXISTS pg_trgm;
        CREATE INDEX subscriptions_texts ON subscriptions
            USING gin (lower(name) gin_trgm_ops, lower(display_name) gin_trgm_ops, lower(state_comment) gin_trgm_ops);
        CREATE INDEX users_texts ON users
            USING gin (lower(email) gin_trgm_ops, lower(first_name) gin_trgm_ops, lower(last_name) gin_trgm_ops);
    END IF;
END
$$;
