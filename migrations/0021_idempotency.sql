-- Replies to PUT, PATCH and POST with an Idempotency-Key, so that a repeated request gets the same reply.
CREATE TABLE idempotent_replies (
    caller     text NOT NULL,
    key        text NOT NULL,
    digest     bytea NOT NULL,
    -- NULL while the first request runs.
    reply      bytea,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (caller, key)
);
CREATE INDEX idempotent_replies_created ON idempotent_replies (created_at);
