-- Settings, configuration, published revisions and content of a service's developer portal.

CREATE TABLE portal_settings (
    id uuid PRIMARY KEY, parent_id uuid NOT NULL REFERENCES services ON DELETE CASCADE, name text NOT NULL,
    rev bigint NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    enabled boolean, terms_of_service jsonb, url text, validation_key bytea, subscriptions jsonb, user_registration jsonb
);
CREATE UNIQUE INDEX portal_settings_name ON portal_settings (parent_id, lower(name));

CREATE TABLE portal_configs (
    id uuid PRIMARY KEY, parent_id uuid NOT NULL REFERENCES services ON DELETE CASCADE, name text NOT NULL,
    rev bigint NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    enable_basic_auth boolean NOT NULL, signin jsonb, signup jsonb, delegation jsonb, validation_key bytea, cors jsonb, csp jsonb
);
CREATE UNIQUE INDEX portal_configs_name ON portal_configs (parent_id, lower(name));

CREATE TABLE portal_revisions (
    id uuid PRIMARY KEY, parent_id uuid NOT NULL REFERENCES services ON DELETE CASCADE, name text NOT NULL,
    rev bigint NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    description text, status_details text, status text NOT NULL, is_current boolean NOT NULL,
    created_date_time timestamptz NOT NULL, updated_date_time timestamptz NOT NULL, provisioning_state text NOT NULL
);
CREATE UNIQUE INDEX portal_revisions_name ON portal_revisions (parent_id, lower(name));

CREATE TABLE content_types (
    id uuid PRIMARY KEY, parent_id uuid NOT NULL REFERENCES services ON DELETE CASCADE, name text NOT NULL,
    rev bigint NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    content_type_id text, display_name text, description text, schema jsonb, version text
);
CREATE UNIQUE INDEX content_types_name ON content_types (parent_id, lower(name));

CREATE TABLE content_items (
    id uuid PRIMARY KEY, parent_id uuid NOT NULL REFERENCES content_types ON DELETE CASCADE, name text NOT NULL,
    rev bigint NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    content jsonb NOT NULL
);
CREATE UNIQUE INDEX content_items_name ON content_items (parent_id, lower(name));

-- Every service has these from the start; those that are there get them here.
INSERT INTO portal_settings (id, parent_id, name, rev, created_at, updated_at, enabled, terms_of_service, subscriptions, user_registration)
SELECT gen_random_uuid(), s.id, n.name, 1, now(), now(),
       CASE n.name WHEN 'delegation' THEN NULL ELSE n.name = 'signup' END,
       CASE n.name WHEN 'signup' THEN '{"enabled": false, "consentRequired": false}'::jsonb END,
       CASE n.name WHEN 'delegation' THEN '{"enabled": false}'::jsonb END,
       CASE n.name WHEN 'delegation' THEN '{"enabled": false}'::jsonb END
FROM services s, (VALUES ('delegation'), ('signin'), ('signup')) n (name) WHERE s.provisioning_state = 'Succeeded';
INSERT INTO portal_configs (id, parent_id, name, rev, created_at, updated_at, enable_basic_auth)
SELECT gen_random_uuid(), id, 'default', 1, now(), now(), true FROM services WHERE provisioning_state = 'Succeeded';
