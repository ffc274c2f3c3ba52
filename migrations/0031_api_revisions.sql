-- Revisions of APIs: a row of `apis` is one revision. What they are revisions of is a row of its own, which carries
-- what belongs to all of them: products, subscriptions, gateways, issues, wikis, releases.

CREATE TABLE api_roots (
    id        uuid PRIMARY KEY,
    parent_id uuid NOT NULL REFERENCES services ON DELETE CASCADE,
    name      text NOT NULL
);
CREATE UNIQUE INDEX api_roots_name ON api_roots (parent_id, lower(name));
INSERT INTO api_roots (id, parent_id, name) SELECT id, parent_id, name FROM apis;

ALTER TABLE apis ADD COLUMN root_id uuid REFERENCES api_roots ON DELETE CASCADE;
UPDATE apis SET root_id = id, is_current = true, is_online = true;
ALTER TABLE apis ALTER COLUMN root_id SET NOT NULL;
-- The current revision's `name` is plain, and that of the others has the number; this one always has it.
ALTER TABLE apis ADD COLUMN revision_name text NOT NULL
    GENERATED ALWAYS AS (regexp_replace(name, ';rev=.*$', '', 'i') || ';rev=' || api_revision) STORED;
CREATE UNIQUE INDEX apis_revision_name ON apis (parent_id, lower(revision_name));
CREATE INDEX apis_root ON apis (root_id, lpad(api_revision, 100, '0'));
-- No transaction, whatever it races with, can leave two current revisions.
CREATE UNIQUE INDEX apis_current ON apis (root_id) WHERE is_current;

ALTER TABLE product_apis DROP CONSTRAINT product_apis_api_id_fkey,
    ADD CONSTRAINT product_apis_root FOREIGN KEY (api_id) REFERENCES api_roots ON DELETE CASCADE;
ALTER TABLE gateway_apis DROP CONSTRAINT gateway_apis_api_id_fkey,
    ADD CONSTRAINT gateway_apis_root FOREIGN KEY (api_id) REFERENCES api_roots ON DELETE CASCADE;
ALTER TABLE subscriptions DROP CONSTRAINT subscriptions_scope_api_id_fkey,
    ADD CONSTRAINT subscriptions_scope_root FOREIGN KEY (scope_api_id) REFERENCES api_roots ON DELETE CASCADE;
ALTER TABLE issues DROP CONSTRAINT issues_parent_id_fkey,
    ADD CONSTRAINT issues_root FOREIGN KEY (parent_id) REFERENCES api_roots ON DELETE CASCADE;
ALTER TABLE api_wikis DROP CONSTRAINT api_wikis_parent_id_fkey,
    ADD CONSTRAINT api_wikis_root FOREIGN KEY (parent_id) REFERENCES api_roots ON DELETE CASCADE;

CREATE TABLE api_releases (
    id uuid PRIMARY KEY, parent_id uuid NOT NULL REFERENCES api_roots ON DELETE CASCADE, name text NOT NULL,
    rev bigint NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    api_id text, created_date_time timestamptz NOT NULL, updated_date_time timestamptz NOT NULL, notes text,
    revision_id uuid NOT NULL REFERENCES apis ON DELETE CASCADE
);
CREATE UNIQUE INDEX api_releases_name ON api_releases (parent_id, lower(name));
CREATE INDEX api_releases_revision ON api_releases (revision_id);
