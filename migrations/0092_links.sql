-- Private endpoint connections: records of a network that Portico does not have.
CREATE TABLE private_endpoint_connections (
    id                                    uuid PRIMARY KEY,
    parent_id                             uuid NOT NULL REFERENCES services ON DELETE CASCADE,
    name                                  text NOT NULL,
    rev                                   bigint NOT NULL,
    created_at                            timestamptz NOT NULL,
    updated_at                            timestamptz NOT NULL,
    private_endpoint                      jsonb,
    private_link_service_connection_state jsonb NOT NULL,
    provisioning_state                    text NOT NULL
);
CREATE UNIQUE INDEX private_endpoint_connections_name ON private_endpoint_connections (parent_id, lower(name));

-- The workspaces of a service with the gateways that serve each.
CREATE VIEW workspace_links AS
SELECT w.id, w.parent_id, w.name, w.rev, w.created_at, w.updated_at, w.id AS workspace_id, '[]'::jsonb AS gateways
FROM workspaces w;
