-- Who did what: one row for every write and every reading of a secret, in the transaction that did it.
-- Rows outlive what they are about, hence no foreign keys. The worker numbers and chains them in the
-- order of their transactions; from then on a change or a removal shows.
CREATE TABLE audit_entries (
    id           uuid PRIMARY KEY,
    parent_id    uuid NOT NULL,
    name         text NOT NULL,
    rev          bigint NOT NULL,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    xid          xid8 NOT NULL DEFAULT pg_current_xact_id(),
    recorded_at  timestamptz NOT NULL,
    caller       text NOT NULL,
    principal_id uuid,
    address      text NOT NULL,
    request_id   text NOT NULL,
    action       text NOT NULL,
    resource     text NOT NULL,
    before       jsonb,
    after        jsonb,
    sequence     bigint,
    hash         text
);
CREATE UNIQUE INDEX audit_entries_name ON audit_entries (parent_id, lower(name));
CREATE UNIQUE INDEX audit_entries_sequence ON audit_entries (sequence);
CREATE INDEX audit_entries_unchained ON audit_entries (xid, id) WHERE sequence IS NULL;

-- The end of the chain, sealed under the installation's key: without it nobody can shorten the chain.
CREATE TABLE audit_head (
    singleton boolean PRIMARY KEY CHECK (singleton),
    sealed    bytea NOT NULL
);
