-- The documents that APIs were imported from, as they came, and what the last import did.

CREATE TABLE api_sources (
    api_id      uuid PRIMARY KEY REFERENCES apis ON DELETE CASCADE,
    imported_at timestamptz NOT NULL,
    -- The contract's name of the format, never a link.
    format      text NOT NULL,
    document    text NOT NULL,
    -- Revisions of the API and its operations right after the import: while they are the same, nobody touched them,
    -- and an export answers the document itself.
    state       text NOT NULL,
    -- {"added": [names], "changed": [names], "removed": [names], "unchanged": count}
    report      jsonb NOT NULL
);
