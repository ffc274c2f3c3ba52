-- What was deleted, with everything that went with it, for thirty days: see crates/engine/src/deleted.rs.
CREATE TABLE deleted_entities (
    id                   uuid PRIMARY KEY,
    parent_id            uuid NOT NULL REFERENCES services ON DELETE CASCADE,
    name                 text NOT NULL,
    rev                  bigint NOT NULL,
    created_at           timestamptz NOT NULL,
    updated_at           timestamptz NOT NULL,
    resource             text NOT NULL,
    resource_type        text NOT NULL,
    resource_name        text NOT NULL,
    deletion_date        timestamptz NOT NULL,
    deleted_by           text NOT NULL,
    scheduled_purge_date timestamptz NOT NULL,
    -- [{"type": what, "count": how many, "names": [the first of them]}]
    contents             jsonb NOT NULL
);
CREATE UNIQUE INDEX deleted_entities_name ON deleted_entities (parent_id, lower(name));
CREATE INDEX deleted_entities_purge ON deleted_entities (scheduled_purge_date);

-- The rows as they were; sealed columns stay sealed.
CREATE TABLE deleted_rows (
    deletion_id uuid NOT NULL REFERENCES deleted_entities ON DELETE CASCADE,
    table_name  text NOT NULL,
    -- NULL for rows that have no id: links.
    row_id      uuid,
    -- Set where a row stayed and only forgot what was deleted; the row then is {column: its value}.
    column_name text,
    root        boolean NOT NULL,
    row         jsonb NOT NULL
);
CREATE INDEX deleted_rows_by_row ON deleted_rows (deletion_id, table_name, row_id);
