-- Workspaces: services inside a service, see docs/adr/0012-workspaces.md.

CREATE TABLE workspaces (
    id           uuid PRIMARY KEY,
    parent_id    uuid NOT NULL REFERENCES services ON DELETE CASCADE,
    name         text NOT NULL,
    rev          bigint NOT NULL,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    display_name text NOT NULL,
    description  text
);
CREATE UNIQUE INDEX workspaces_name ON workspaces (parent_id, lower(name));

-- The row of a workspace among the services has the workspace's id and names the service that it is in. What stands in the
-- workspace has this row for its parent.
ALTER TABLE services ADD COLUMN workspace_of uuid REFERENCES services ON DELETE CASCADE;
CREATE INDEX services_workspace_of ON services (workspace_of);
ALTER TABLE services ADD CONSTRAINT services_workspace_name CHECK ((workspace_of IS NOT NULL) = (strpos(name, '/') > 0));
