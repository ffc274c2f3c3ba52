-- Gateways of the installation: each names the services and workspaces that are connected to it, and the hosts under which they
-- are called there. See docs/adr/0014-api-gateways.md.
CREATE TABLE api_gateways (
    id                        uuid PRIMARY KEY,
    subscription_id           text NOT NULL,
    resource_group            text NOT NULL,
    name                      text NOT NULL,
    rev                       bigint NOT NULL,
    created_at                timestamptz NOT NULL,
    updated_at                timestamptz NOT NULL,
    location                  text NOT NULL,
    sku                       jsonb NOT NULL,
    tags                      jsonb,
    provisioning_state        text NOT NULL,
    target_provisioning_state text NOT NULL,
    created_at_utc            timestamptz NOT NULL,
    frontend                  jsonb,
    backend                   jsonb,
    configuration_api         jsonb,
    virtual_network_type      text
);
CREATE UNIQUE INDEX api_gateways_name ON api_gateways (lower(name));
CREATE INDEX api_gateways_group ON api_gateways (lower(subscription_id), lower(resource_group), lower(name));

-- A workspace's row among the services has the workspace's id, so one column refers to both. A connection goes with what it connects.
CREATE TABLE config_connections (
    id                 uuid PRIMARY KEY,
    parent_id          uuid NOT NULL REFERENCES api_gateways ON DELETE CASCADE,
    name               text NOT NULL,
    rev                bigint NOT NULL,
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL,
    provisioning_state text NOT NULL,
    source_id          text,
    source_service_id  uuid REFERENCES services ON DELETE CASCADE,
    default_hostname   text,
    hostnames          text[]
);
CREATE UNIQUE INDEX config_connections_name ON config_connections (parent_id, lower(name));
CREATE INDEX config_connections_source ON config_connections (source_service_id);

CREATE OR REPLACE VIEW workspace_links AS
SELECT w.id, w.parent_id, w.name, w.rev, w.created_at, w.updated_at, w.id AS workspace_id,
       coalesce((SELECT jsonb_agg(DISTINCT jsonb_build_object('id', '/subscriptions/' || g.subscription_id || '/resourceGroups/' ||
                                    g.resource_group || '/providers/Microsoft.ApiManagement/gateways/' || g.name))
                 FROM config_connections c JOIN api_gateways g ON g.id = c.parent_id WHERE c.source_service_id = w.id),
                '[]'::jsonb) AS gateways
FROM workspaces w;
