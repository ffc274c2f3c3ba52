-- Providers of tokens for backends, GraphQL resolvers, restrictions of policies.

CREATE TABLE authorization_providers (
    id uuid PRIMARY KEY, parent_id uuid NOT NULL REFERENCES services ON DELETE CASCADE, name text NOT NULL,
    rev bigint NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    display_name text, identity_provider text, oauth2 jsonb, sealed_secrets bytea
);
CREATE UNIQUE INDEX authorization_providers_name ON authorization_providers (parent_id, lower(name));

CREATE TABLE authorizations (
    id uuid PRIMARY KEY, parent_id uuid NOT NULL REFERENCES authorization_providers ON DELETE CASCADE, name text NOT NULL,
    rev bigint NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    authorization_type text NOT NULL CHECK (authorization_type = 'OAuth2'),
    oauth2grant_type text NOT NULL CHECK (oauth2grant_type IN ('AuthorizationCode', 'ClientCredentials')),
    parameters jsonb, sealed_parameters bytea, status text NOT NULL, error jsonb
);
CREATE UNIQUE INDEX authorizations_name ON authorizations (parent_id, lower(name));

CREATE TABLE authorization_access_policies (
    id uuid PRIMARY KEY, parent_id uuid NOT NULL REFERENCES authorizations ON DELETE CASCADE, name text NOT NULL,
    rev bigint NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    app_ids text[], tenant_id text, object_id text
);
CREATE UNIQUE INDEX authorization_access_policies_name ON authorization_access_policies (parent_id, lower(name));

CREATE TABLE api_resolvers (
    id uuid PRIMARY KEY, parent_id uuid NOT NULL REFERENCES apis ON DELETE CASCADE, name text NOT NULL,
    rev bigint NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    display_name text NOT NULL, path text NOT NULL, description text
);
CREATE UNIQUE INDEX api_resolvers_name ON api_resolvers (parent_id, lower(name));

CREATE TABLE policy_restrictions (
    id uuid PRIMARY KEY, parent_id uuid NOT NULL REFERENCES services ON DELETE CASCADE, name text NOT NULL,
    rev bigint NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    scope text, require_base text NOT NULL CHECK (require_base IN ('true', 'false'))
);
CREATE UNIQUE INDEX policy_restrictions_name ON policy_restrictions (parent_id, lower(name));
