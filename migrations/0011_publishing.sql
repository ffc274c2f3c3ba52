-- The kinds below a service. Every table has the same head: id, parent_id, name, rev, created_at, updated_at.

CREATE TABLE apis (
    id                               uuid PRIMARY KEY,
    parent_id                        uuid NOT NULL REFERENCES services ON DELETE CASCADE,
    name                             text NOT NULL,
    rev                              bigint NOT NULL,
    created_at                       timestamptz NOT NULL,
    updated_at                       timestamptz NOT NULL,
    display_name                     text NOT NULL,
    description                      text,
    service_url                      text,
    path                             text NOT NULL,
    protocols                        jsonb NOT NULL,
    type                             text NOT NULL,
    api_revision                     text NOT NULL,
    api_revision_description         text,
    api_version                      text,
    api_version_description          text,
    api_version_set_id               text,
    api_version_set                  jsonb,
    is_current                       boolean NOT NULL,
    is_online                        boolean,
    subscription_required            boolean NOT NULL,
    subscription_key_parameter_names jsonb NOT NULL,
    authentication_settings          jsonb,
    terms_of_service_url             text,
    contact                          jsonb,
    license                          jsonb,
    provisioning_state               text NOT NULL
);
CREATE UNIQUE INDEX apis_name ON apis (parent_id, lower(name));
CREATE INDEX apis_path ON apis (parent_id, lower(path));

CREATE TABLE api_operations (
    id                  uuid PRIMARY KEY,
    parent_id           uuid NOT NULL REFERENCES apis ON DELETE CASCADE,
    name                text NOT NULL,
    rev                 bigint NOT NULL,
    created_at          timestamptz NOT NULL,
    updated_at          timestamptz NOT NULL,
    display_name        text NOT NULL,
    method              text NOT NULL,
    url_template        text NOT NULL,
    template_parameters jsonb NOT NULL,
    description         text,
    request             jsonb,
    responses           jsonb NOT NULL,
    policies            text
);
CREATE UNIQUE INDEX api_operations_name ON api_operations (parent_id, lower(name));
CREATE UNIQUE INDEX api_operations_template ON api_operations (parent_id, method, lower(url_template));

CREATE TABLE products (
    id                    uuid PRIMARY KEY,
    parent_id             uuid NOT NULL REFERENCES services ON DELETE CASCADE,
    name                  text NOT NULL,
    rev                   bigint NOT NULL,
    created_at            timestamptz NOT NULL,
    updated_at            timestamptz NOT NULL,
    display_name          text NOT NULL,
    description           text,
    terms                 text,
    subscription_required boolean NOT NULL,
    approval_required     boolean,
    subscriptions_limit   integer,
    state                 text NOT NULL CHECK (state IN ('notPublished', 'published'))
);
CREATE UNIQUE INDEX products_name ON products (parent_id, lower(name));

CREATE TABLE groups (
    id           uuid PRIMARY KEY,
    parent_id    uuid NOT NULL REFERENCES services ON DELETE CASCADE,
    name         text NOT NULL,
    rev          bigint NOT NULL,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    display_name text NOT NULL,
    description  text,
    built_in     boolean NOT NULL,
    type         text NOT NULL CHECK (type IN ('custom', 'system', 'external')),
    external_id  text
);
CREATE UNIQUE INDEX groups_name ON groups (parent_id, lower(name));

CREATE TABLE users (
    id                uuid PRIMARY KEY,
    parent_id         uuid NOT NULL REFERENCES services ON DELETE CASCADE,
    name              text NOT NULL,
    rev               bigint NOT NULL,
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL,
    first_name        text NOT NULL,
    last_name         text NOT NULL,
    email             text NOT NULL,
    state             text NOT NULL CHECK (state IN ('active', 'blocked', 'pending', 'deleted')),
    note              text,
    identities        jsonb NOT NULL,
    registration_date timestamptz NOT NULL,
    password_hash     text
);
CREATE UNIQUE INDEX users_name ON users (parent_id, lower(name));
CREATE UNIQUE INDEX users_email ON users (parent_id, lower(email));

CREATE TABLE product_apis (
    product_id uuid NOT NULL REFERENCES products ON DELETE CASCADE,
    api_id     uuid NOT NULL REFERENCES apis ON DELETE CASCADE,
    PRIMARY KEY (product_id, api_id)
);
CREATE INDEX product_apis_api ON product_apis (api_id);

CREATE TABLE product_groups (
    product_id uuid NOT NULL REFERENCES products ON DELETE CASCADE,
    group_id   uuid NOT NULL REFERENCES groups ON DELETE CASCADE,
    PRIMARY KEY (product_id, group_id)
);
CREATE INDEX product_groups_group ON product_groups (group_id);

CREATE TABLE group_users (
    group_id uuid NOT NULL REFERENCES groups ON DELETE CASCADE,
    user_id  uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    PRIMARY KEY (group_id, user_id)
);
CREATE INDEX group_users_user ON group_users (user_id);

CREATE TABLE subscriptions (
    id                uuid PRIMARY KEY,
    parent_id         uuid NOT NULL REFERENCES services ON DELETE CASCADE,
    name              text NOT NULL,
    rev               bigint NOT NULL,
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL,
    owner_id          uuid REFERENCES users ON DELETE CASCADE,
    -- `/`, `/apis`, `/apis/{name}` or `/products/{name}`; the row it names is in one of the two columns below.
    scope             text NOT NULL,
    scope_api_id      uuid REFERENCES apis ON DELETE CASCADE,
    scope_product_id  uuid REFERENCES products ON DELETE CASCADE,
    display_name      text,
    state             text NOT NULL
        CHECK (state IN ('suspended', 'active', 'expired', 'submitted', 'rejected', 'cancelled')),
    created_date      timestamptz NOT NULL,
    start_date        timestamptz,
    expiration_date   timestamptz,
    end_date          timestamptz,
    notification_date timestamptz,
    state_comment     text,
    allow_tracing     boolean,
    primary_key       bytea NOT NULL,
    secondary_key     bytea NOT NULL,
    primary_digest    bytea NOT NULL,
    secondary_digest  bytea NOT NULL
);
CREATE UNIQUE INDEX subscriptions_name ON subscriptions (parent_id, lower(name));
CREATE UNIQUE INDEX subscriptions_primary_digest ON subscriptions (parent_id, primary_digest);
CREATE UNIQUE INDEX subscriptions_secondary_digest ON subscriptions (parent_id, secondary_digest);
CREATE INDEX subscriptions_owner ON subscriptions (owner_id, lower(name));
CREATE INDEX subscriptions_api ON subscriptions (scope_api_id, lower(name));
CREATE INDEX subscriptions_product ON subscriptions (scope_product_id, lower(name));

CREATE TABLE service_policies (
    id uuid PRIMARY KEY, parent_id uuid NOT NULL REFERENCES services ON DELETE CASCADE, name text NOT NULL,
    rev bigint NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    value text NOT NULL, format text NOT NULL
);
CREATE UNIQUE INDEX service_policies_name ON service_policies (parent_id, lower(name));
CREATE TABLE product_policies (
    id uuid PRIMARY KEY, parent_id uuid NOT NULL REFERENCES products ON DELETE CASCADE, name text NOT NULL,
    rev bigint NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    value text NOT NULL, format text NOT NULL
);
CREATE UNIQUE INDEX product_policies_name ON product_policies (parent_id, lower(name));
CREATE TABLE api_policies (
    id uuid PRIMARY KEY, parent_id uuid NOT NULL REFERENCES apis ON DELETE CASCADE, name text NOT NULL,
    rev bigint NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    value text NOT NULL, format text NOT NULL
);
CREATE UNIQUE INDEX api_policies_name ON api_policies (parent_id, lower(name));
CREATE TABLE operation_policies (
    id uuid PRIMARY KEY, parent_id uuid NOT NULL REFERENCES api_operations ON DELETE CASCADE, name text NOT NULL,
    rev bigint NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    value text NOT NULL, format text NOT NULL
);
CREATE UNIQUE INDEX operation_policies_name ON operation_policies (parent_id, lower(name));

CREATE TABLE named_values (
    id                  uuid PRIMARY KEY,
    parent_id           uuid NOT NULL REFERENCES services ON DELETE CASCADE,
    name                text NOT NULL,
    rev                 bigint NOT NULL,
    created_at          timestamptz NOT NULL,
    updated_at          timestamptz NOT NULL,
    display_name        text NOT NULL,
    value               text,
    secret              boolean NOT NULL,
    secret_value        bytea,
    tags                text[],
    provisioning_state  text NOT NULL
);
CREATE UNIQUE INDEX named_values_name ON named_values (parent_id, lower(name));
CREATE UNIQUE INDEX named_values_display_name ON named_values (parent_id, lower(display_name));

CREATE TABLE notifications (
    id          uuid PRIMARY KEY,
    parent_id   uuid NOT NULL REFERENCES services ON DELETE CASCADE,
    name        text NOT NULL,
    rev         bigint NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    title       text NOT NULL,
    description text,
    recipients  jsonb NOT NULL
);
CREATE UNIQUE INDEX notifications_name ON notifications (parent_id, lower(name));

CREATE TABLE recipient_users (
    id         uuid PRIMARY KEY,
    parent_id  uuid NOT NULL REFERENCES notifications ON DELETE CASCADE,
    name       text NOT NULL,
    rev        bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    user_row   uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    user_id    text NOT NULL
);
CREATE UNIQUE INDEX recipient_users_name ON recipient_users (parent_id, lower(name));
CREATE INDEX recipient_users_user ON recipient_users (user_row);

CREATE TABLE recipient_emails (
    id         uuid PRIMARY KEY,
    parent_id  uuid NOT NULL REFERENCES notifications ON DELETE CASCADE,
    name       text NOT NULL,
    rev        bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    email      text NOT NULL
);
CREATE UNIQUE INDEX recipient_emails_name ON recipient_emails (parent_id, lower(name));

CREATE TABLE templates (
    id          uuid PRIMARY KEY,
    parent_id   uuid NOT NULL REFERENCES services ON DELETE CASCADE,
    name        text NOT NULL,
    rev         bigint NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    subject     text NOT NULL,
    body        text NOT NULL,
    title       text,
    description text,
    is_default  boolean NOT NULL,
    parameters  jsonb
);
CREATE UNIQUE INDEX templates_name ON templates (parent_id, lower(name));

CREATE TABLE tenant_access (
    id            uuid PRIMARY KEY,
    parent_id     uuid NOT NULL REFERENCES services ON DELETE CASCADE,
    name          text NOT NULL,
    rev           bigint NOT NULL,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    principal_id  text NOT NULL,
    enabled       boolean NOT NULL,
    primary_key   bytea NOT NULL,
    secondary_key bytea NOT NULL
);
CREATE UNIQUE INDEX tenant_access_name ON tenant_access (parent_id, lower(name));

-- Links in mails: confirm an address, accept an invitation, set a new password. Only digests of tickets are kept.
CREATE TABLE user_tickets (
    digest     bytea PRIMARY KEY,
    service_id uuid NOT NULL REFERENCES services ON DELETE CASCADE,
    email      text NOT NULL,
    purpose    text NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz
);
CREATE INDEX user_tickets_service ON user_tickets (service_id);
