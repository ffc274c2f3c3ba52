-- Each value's rows in the order of the list, so that a page of them needs no sorting and Postgres no guess of how many there are.
DROP INDEX subscriptions_display_name;
CREATE INDEX subscriptions_display_name ON subscriptions (parent_id, lower(display_name), lower(name));
DROP INDEX subscriptions_state_comment;
CREATE INDEX subscriptions_state_comment ON subscriptions (parent_id, lower(state_comment), lower(name)) WHERE state_comment IS NOT NULL;
-- Beginnings: a long one has so many common trigrams that these find it slowly. In the order of the characters, whatever the database's
-- collation is.
CREATE INDEX subscriptions_display_name_begins ON subscriptions (parent_id, lower(display_name) text_pattern_ops);
CREATE INDEX subscriptions_name_begins ON subscriptions (parent_id, lower(name) text_pattern_ops);

-- Parts of scopes, too.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_trgm') THEN
        DROP INDEX IF EXISTS subscriptions_texts;
        CREATE INDEX subscriptions_texts ON subscriptions
            USING gin ((lower(name) || '') gin_trgm_ops, (lower(display_name) || '') gin_trgm_ops,
                (lower(state_comment) || '') gin_trgm_ops, (lower(scope) || '') gin_trgm_ops);
    END IF;
END
$$;
