-- Services and everything that stands directly around them.

CREATE TABLE services (
    id                           uuid PRIMARY KEY,
    subscription_id              text NOT NULL,
    resource_group               text NOT NULL,
    name                         text NOT NULL,
    rev                          bigint NOT NULL,
    created_at                   timestamptz NOT NULL,
    updated_at                   timestamptz NOT NULL,
    deleted_at                   timestamptz,
    location                     text NOT NULL,
    sku                          jsonb NOT NULL,
    tags                         jsonb,
    zones                        text[],
    identity                     jsonb,
    publisher_email              text NOT NULL,
    publisher_name               text NOT NULL,
    notification_sender_email    text,
    provisioning_state           text NOT NULL,
    target_provisioning_state    text NOT NULL,
    created_at_utc               timestamptz,
    gateway_hostname             text NOT NULL UNIQUE,
    gateway_url                  text,
    portal_url                   text,
    developer_portal_url         text,
    management_api_url           text,
    scm_url                      text,
    hostname_configurations      jsonb,
    public_ip_addresses          text[],
    private_ip_addresses         text[],
    public_ip_address_id         text,
    public_network_access        text,
    virtual_network_configuration jsonb,
    additional_locations         jsonb,
    custom_properties            jsonb,
    certificates                 jsonb,
    enable_client_certificate    boolean,
    nat_gateway_state            text,
    outbound_public_ip_addresses text[],
    disable_gateway              boolean,
    virtual_network_type         text NOT NULL,
    api_version_constraint       jsonb,
    private_endpoint_connections jsonb,
    platform_version             text NOT NULL,
    legacy_portal_status         text,
    developer_portal_status      text,
    release_channel              text,
    configuration_api            jsonb
);
CREATE UNIQUE INDEX services_name ON services (lower(name));
CREATE INDEX services_group ON services (lower(subscription_id), lower(resource_group), lower(name));
CREATE INDEX services_deleted ON services (deleted_at) WHERE deleted_at IS NOT NULL;

ALTER TABLE role_assignments
    ADD CONSTRAINT role_assignments_service FOREIGN KEY (scope_service_id) REFERENCES services ON DELETE CASCADE;

-- What changed, written by the transaction that changed it. Gateways of every replica catch up from here;
-- the transaction id tells which rows a reader cannot have seen yet (ids alone do not: they commit out of order).
CREATE TABLE changes (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid        xid8 NOT NULL DEFAULT pg_current_xact_id(),
    service_id uuid NOT NULL,
    entity     text NOT NULL,
    entity_id  uuid NOT NULL,
    at         timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX changes_xid ON changes (xid);
CREATE INDEX changes_at ON changes (at);

CREATE TABLE long_operations (
    id         uuid PRIMARY KEY,
    service_id uuid NOT NULL REFERENCES services ON DELETE CASCADE,
    kind       text NOT NULL,
    status     text NOT NULL CHECK (status IN ('InProgress', 'Succeeded', 'Failed')),
    error      jsonb,
    started_at timestamptz NOT NULL,
    ended_at   timestamptz
);
CREATE INDEX long_operations_service ON long_operations (service_id);

-- Calls and bytes of quotas, added up over all gateways. `subscription_id` is nil for counters without one.
CREATE TABLE quota_counters (
    service_id      uuid NOT NULL REFERENCES services ON DELETE CASCADE,
    subscription_id uuid NOT NULL,
    step            text NOT NULL,
    period_start    timestamptz NOT NULL,
    period_end      timestamptz,
    calls           bigint NOT NULL,
    bytes           bigint NOT NULL,
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (service_id, subscription_id, step, period_start)
);
CREATE INDEX quota_counters_end ON quota_counters (period_end);
CREATE INDEX quota_counters_updated ON quota_counters (updated_at);
