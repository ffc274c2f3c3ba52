-- Gateways apart from the control plane, the APIs that they serve, and the processes that serve.

CREATE TABLE gateways (
    id uuid PRIMARY KEY, parent_id uuid NOT NULL REFERENCES services ON DELETE CASCADE, name text NOT NULL,
    rev bigint NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    location_data jsonb, region text, description text,
    primary_key bytea NOT NULL, secondary_key bytea NOT NULL,
    -- Seals what the gateway keeps on its disk; goes with every token and survives new keys.
    file_secret bytea NOT NULL
);
CREATE UNIQUE INDEX gateways_name ON gateways (parent_id, lower(name));

CREATE TABLE gateway_apis (
    gateway_id uuid NOT NULL REFERENCES gateways ON DELETE CASCADE,
    api_id     uuid NOT NULL REFERENCES apis ON DELETE CASCADE,
    PRIMARY KEY (gateway_id, api_id)
);
CREATE INDEX gateway_apis_api ON gateway_apis (api_id);

CREATE TABLE gateway_hostname_configurations (
    id uuid PRIMARY KEY, parent_id uuid NOT NULL REFERENCES gateways ON DELETE CASCADE, name text NOT NULL,
    rev bigint NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    hostname text, certificate_id text, negotiate_client_certificate boolean,
    tls10_enabled boolean, tls11_enabled boolean, http2_enabled boolean
);
CREATE UNIQUE INDEX gateway_hostname_configurations_name ON gateway_hostname_configurations (parent_id, lower(name));

CREATE TABLE gateway_certificate_authorities (
    id uuid PRIMARY KEY, parent_id uuid NOT NULL REFERENCES gateways ON DELETE CASCADE, name text NOT NULL,
    rev bigint NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    is_trusted boolean
);
CREATE UNIQUE INDEX gateway_certificate_authorities_name ON gateway_certificate_authorities (parent_id, lower(name));

-- The key that signs configuration for gateways apart: one for the installation, sealed.
CREATE TABLE signing_key (
    singleton  boolean PRIMARY KEY CHECK (singleton),
    sealed     bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Processes that serve calls, and the revision that each serves.
CREATE TABLE gateway_nodes (
    id          uuid PRIMARY KEY,
    -- Absent for processes that serve every service: in the control plane's own process, or over its database.
    service_id  uuid REFERENCES services ON DELETE CASCADE,
    gateway_id  uuid REFERENCES gateways ON DELETE CASCADE,
    host        text NOT NULL,
    mode        text NOT NULL CHECK (mode IN ('process', 'database', 'feed')),
    version     text NOT NULL,
    revision    bigint NOT NULL,
    -- When it began to serve this revision.
    revision_at timestamptz NOT NULL,
    started_at  timestamptz NOT NULL,
    seen_at     timestamptz NOT NULL,
    -- Number of the last batch of quota counts that was taken from it, so that one sent twice counts once.
    last_batch  bigint NOT NULL DEFAULT 0,
    -- Likewise of records of calls.
    last_calls  bigint NOT NULL DEFAULT 0
);
CREATE INDEX gateway_nodes_seen ON gateway_nodes (seen_at);
CREATE INDEX gateway_nodes_service ON gateway_nodes (service_id);
CREATE INDEX gateway_nodes_gateway ON gateway_nodes (gateway_id);
