-- Tests of an API's policies: a call, what the backend answers, and what is expected.
CREATE TABLE policy_tests (
    id              uuid PRIMARY KEY,
    parent_id       uuid NOT NULL REFERENCES apis ON DELETE CASCADE,
    name            text NOT NULL,
    rev             bigint NOT NULL,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    display_name    text NOT NULL,
    description     text,
    subscription_id uuid REFERENCES subscriptions ON DELETE SET NULL,
    request         jsonb NOT NULL,
    response        jsonb,
    expected        jsonb NOT NULL
);
CREATE UNIQUE INDEX policy_tests_name ON policy_tests (parent_id, lower(name));
CREATE INDEX policy_tests_subscription ON policy_tests (subscription_id);
