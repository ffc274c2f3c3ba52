-- Kinds around the first journey: tags, versions, backends, fragments, schemas, issues, providers.

CREATE TABLE tags (
    id uuid PRIMARY KEY, parent_id uuid NOT NULL REFERENCES services ON DELETE CASCADE, name text NOT NULL,
    rev bigint NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    display_name text NOT NULL
);
CREATE UNIQUE INDEX tags_name ON tags (parent_id, lower(name));

CREATE TABLE api_tags (
    api_id uuid NOT NULL REFERENCES apis ON DELETE CASCADE,
    tag_id uuid NOT NULL REFERENCES tags ON DELETE CASCADE,
    PRIMARY KEY (api_id, tag_id)
);
CREATE INDEX api_tags_tag ON api_tags (tag_id);
CREATE TABLE operation_tags (
    operation_id uuid NOT NULL REFERENCES api_operations ON DELETE CASCADE,
    tag_id       uuid NOT NULL REFERENCES tags ON DELETE CASCADE,
    PRIMARY KEY (operation_id, tag_id)
);
CREATE INDEX operation_tags_tag ON operation_tags (tag_id);
CREATE TABLE product_tags (
    product_id uuid NOT NULL REFERENCES products ON DELETE CASCADE,
    tag_id     uuid NOT NULL REFERENCES tags ON DELETE CASCADE,
    PRIMARY KEY (product_id, tag_id)
);
CREATE INDEX product_tags_tag ON product_tags (tag_id);

CREATE TABLE tag_descriptions (
    id uuid PRIMARY KEY, parent_id uuid NOT NULL REFERENCES apis ON DELETE CASCADE, name text NOT NULL,
    rev bigint NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    description text, external_docs_url text, external_docs_description text,
    tag_id text, display_name text
);
CREATE UNIQUE INDEX tag_descriptions_name ON tag_descriptions (parent_id, lower(name));

CREATE TABLE api_version_sets (
    id uuid PRIMARY KEY, parent_id uuid NOT NULL REFERENCES services ON DELETE CASCADE, name text NOT NULL,
    rev bigint NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    display_name text NOT NULL, description text,
    versioning_scheme text NOT NULL CHECK (versioning_scheme IN ('Segment', 'Query', 'Header')),
    version_query_name text, version_header_name text
);
CREATE UNIQUE INDEX api_version_sets_name ON api_version_sets (parent_id, lower(name));

CREATE TABLE backends (
    id uuid PRIMARY KEY, parent_id uuid NOT NULL REFERENCES services ON DELETE CASCADE, name text NOT NULL,
    rev bigint NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    title text, description text, resource_id text, properties jsonb, credentials jsonb, proxy jsonb, tls jsonb,
    url text NOT NULL, protocol text NOT NULL CHECK (protocol IN ('http', 'soap')),
    circuit_breaker jsonb, pool jsonb, type text NOT NULL CHECK (type IN ('Single', 'Pool'))
);
CREATE UNIQUE INDEX backends_name ON backends (parent_id, lower(name));

CREATE TABLE policy_fragments (
    id uuid PRIMARY KEY, parent_id uuid NOT NULL REFERENCES services ON DELETE CASCADE, name text NOT NULL,
    rev bigint NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    value text NOT NULL, description text, format text NOT NULL, provisioning_state text NOT NULL
);
CREATE UNIQUE INDEX policy_fragments_name ON policy_fragments (parent_id, lower(name));

CREATE TABLE schemas (
    id uuid PRIMARY KEY, parent_id uuid NOT NULL REFERENCES services ON DELETE CASCADE, name text NOT NULL,
    rev bigint NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    schema_type text NOT NULL CHECK (schema_type IN ('xml', 'json')), description text, value text, document jsonb,
    provisioning_state text NOT NULL
);
CREATE UNIQUE INDEX schemas_name ON schemas (parent_id, lower(name));

CREATE TABLE api_schemas (
    id uuid PRIMARY KEY, parent_id uuid NOT NULL REFERENCES apis ON DELETE CASCADE, name text NOT NULL,
    rev bigint NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    content_type text NOT NULL, document jsonb NOT NULL, provisioning_state text NOT NULL
);
CREATE UNIQUE INDEX api_schemas_name ON api_schemas (parent_id, lower(name));

CREATE TABLE caches (
    id uuid PRIMARY KEY, parent_id uuid NOT NULL REFERENCES services ON DELETE CASCADE, name text NOT NULL,
    rev bigint NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    description text, connection_string text NOT NULL, use_from_location text NOT NULL, resource_id text
);
CREATE UNIQUE INDEX caches_name ON caches (parent_id, lower(name));

CREATE TABLE openid_connect_providers (
    id uuid PRIMARY KEY, parent_id uuid NOT NULL REFERENCES services ON DELETE CASCADE, name text NOT NULL,
    rev bigint NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    display_name text NOT NULL, description text, metadata_endpoint text NOT NULL, client_id text NOT NULL,
    client_secret bytea, use_in_test_console boolean, use_in_api_documentation boolean
);
CREATE UNIQUE INDEX openid_connect_providers_name ON openid_connect_providers (parent_id, lower(name));

CREATE TABLE authorization_servers (
    id uuid PRIMARY KEY, parent_id uuid NOT NULL REFERENCES services ON DELETE CASCADE, name text NOT NULL,
    rev bigint NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    display_name text NOT NULL, description text, use_in_test_console boolean, use_in_api_documentation boolean,
    client_registration_endpoint text NOT NULL, authorization_endpoint text NOT NULL, grant_types jsonb NOT NULL,
    client_id text NOT NULL, client_secret bytea, authorization_methods jsonb, client_authentication_method jsonb,
    token_body_parameters jsonb, token_endpoint text, support_state boolean, default_scope text,
    bearer_token_sending_methods jsonb, resource_owner_username text, resource_owner_password bytea
);
CREATE UNIQUE INDEX authorization_servers_name ON authorization_servers (parent_id, lower(name));

CREATE TABLE identity_providers (
    id uuid PRIMARY KEY, parent_id uuid NOT NULL REFERENCES services ON DELETE CASCADE, name text NOT NULL,
    rev bigint NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    type text, signin_tenant text, allowed_tenants text[], authority text, signup_policy_name text,
    signin_policy_name text, profile_editing_policy_name text, password_reset_policy_name text, client_library text,
    client_id text NOT NULL, client_secret bytea NOT NULL
);
CREATE UNIQUE INDEX identity_providers_name ON identity_providers (parent_id, lower(name));

CREATE TABLE issues (
    id uuid PRIMARY KEY, parent_id uuid NOT NULL REFERENCES apis ON DELETE CASCADE, name text NOT NULL,
    rev bigint NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    created_date timestamptz NOT NULL, state text NOT NULL CHECK (state IN ('proposed', 'open', 'removed', 'resolved', 'closed')),
    api_id text, title text NOT NULL, description text NOT NULL, user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE
);
CREATE UNIQUE INDEX issues_name ON issues (parent_id, lower(name));
CREATE INDEX issues_user ON issues (user_id);

CREATE TABLE issue_comments (
    id uuid PRIMARY KEY, parent_id uuid NOT NULL REFERENCES issues ON DELETE CASCADE, name text NOT NULL,
    rev bigint NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    text text NOT NULL, created_date timestamptz NOT NULL, user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE
);
CREATE UNIQUE INDEX issue_comments_name ON issue_comments (parent_id, lower(name));
CREATE INDEX issue_comments_user ON issue_comments (user_id);

CREATE TABLE issue_attachments (
    id uuid PRIMARY KEY, parent_id uuid NOT NULL REFERENCES issues ON DELETE CASCADE, name text NOT NULL,
    rev bigint NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    title text NOT NULL, content_format text NOT NULL, content text NOT NULL
);
CREATE UNIQUE INDEX issue_attachments_name ON issue_attachments (parent_id, lower(name));
