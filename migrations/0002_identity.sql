-- Who may call the management API, and the keys that sign their tokens.

CREATE TABLE principals (
    id           uuid PRIMARY KEY,
    kind         text NOT NULL CHECK (kind IN ('person', 'application')),
    -- A person's e-mail address, an application's client id.
    name         text NOT NULL,
    display_name text NOT NULL,
    secret_hash  text,
    disabled_at  timestamptz,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL
);
CREATE UNIQUE INDEX principals_name ON principals (lower(name));

CREATE TABLE role_assignments (
    id               uuid PRIMARY KEY,
    principal_id     uuid NOT NULL REFERENCES principals ON DELETE CASCADE,
    -- NULL: the whole installation.
    scope_service_id uuid,
    role             text NOT NULL CHECK (role IN ('owner', 'contributor', 'reader', 'developer')),
    created_at       timestamptz NOT NULL,
    UNIQUE NULLS NOT DISTINCT (principal_id, scope_service_id)
);
CREATE INDEX role_assignments_service ON role_assignments (scope_service_id);

CREATE TABLE signing_keys (
    kid         text PRIMARY KEY,
    private_key bytea NOT NULL,
    public_key  bytea NOT NULL,
    created_at  timestamptz NOT NULL,
    -- Signs until here; verifies one token lifetime longer.
    retires_at  timestamptz NOT NULL
);

CREATE TABLE sign_in_attempts (
    key      text PRIMARY KEY,
    failures integer NOT NULL,
    last_at  timestamptz NOT NULL
);

CREATE TABLE bootstrap_secret (
    singleton    boolean PRIMARY KEY CHECK (singleton),
    principal_id uuid NOT NULL REFERENCES principals ON DELETE CASCADE,
    digest       bytea NOT NULL,
    created_at   timestamptz NOT NULL,
    used_at      timestamptz
);
