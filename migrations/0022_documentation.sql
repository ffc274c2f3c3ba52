-- Documentation, and the wikis that gather it.
CREATE TABLE documentations (
    id uuid PRIMARY KEY, parent_id uuid NOT NULL REFERENCES services ON DELETE CASCADE, name text NOT NULL,
    rev bigint NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    title text, content text
);
CREATE UNIQUE INDEX documentations_name ON documentations (parent_id, lower(name));

CREATE TABLE api_wikis (
    id uuid PRIMARY KEY, parent_id uuid NOT NULL REFERENCES apis ON DELETE CASCADE, name text NOT NULL,
    rev bigint NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    documents jsonb NOT NULL
);
CREATE UNIQUE INDEX api_wikis_name ON api_wikis (parent_id, lower(name));

CREATE TABLE product_wikis (
    id uuid PRIMARY KEY, parent_id uuid NOT NULL REFERENCES products ON DELETE CASCADE, name text NOT NULL,
    rev bigint NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    documents jsonb NOT NULL
);
CREATE UNIQUE INDEX product_wikis_name ON product_wikis (parent_id, lower(name));
