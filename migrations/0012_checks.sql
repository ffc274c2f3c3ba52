-- What the kinds' types promise, also for statements that do not go through them.

ALTER TABLE services
    ADD CONSTRAINT services_provisioning_state CHECK (provisioning_state IN
        ('Created', 'Activating', 'Succeeded', 'Updating', 'Failed', 'Stopped', 'Terminating', 'TerminationFailed', 'Deleted')),
    ADD CONSTRAINT services_virtual_network_type CHECK (virtual_network_type IN ('None', 'External', 'Internal')),
    ADD CONSTRAINT services_public_network_access CHECK (public_network_access IN ('Enabled', 'Disabled')),
    ADD CONSTRAINT services_nat_gateway_state CHECK (nat_gateway_state IN ('Enabled', 'Disabled')),
    ADD CONSTRAINT services_legacy_portal_status CHECK (legacy_portal_status IN ('Enabled', 'Disabled')),
    ADD CONSTRAINT services_developer_portal_status CHECK (developer_portal_status IN ('Enabled', 'Disabled'));

ALTER TABLE long_operations
    ADD CONSTRAINT long_operations_ended CHECK ((status = 'InProgress') = (ended_at IS NULL));

ALTER TABLE apis
    ADD CONSTRAINT apis_type CHECK (type IN ('http', 'soap', 'websocket', 'graphql', 'odata', 'grpc'));

-- A scope names at most one row, and the row of its own kind.
ALTER TABLE subscriptions
    ADD CONSTRAINT subscriptions_scope CHECK (
        (scope_api_id IS NOT NULL) = (scope LIKE '/apis/%') AND
        (scope_product_id IS NOT NULL) = (scope LIKE '/products/%'));

ALTER TABLE service_policies   ADD CONSTRAINT service_policies_format   CHECK (format IN ('xml', 'rawxml'));
ALTER TABLE product_policies   ADD CONSTRAINT product_policies_format   CHECK (format IN ('xml', 'rawxml'));
ALTER TABLE api_policies       ADD CONSTRAINT api_policies_format       CHECK (format IN ('xml', 'rawxml'));
ALTER TABLE operation_policies ADD CONSTRAINT operation_policies_format CHECK (format IN ('xml', 'rawxml'));

-- A secret's value is sealed and nowhere else.
ALTER TABLE named_values
    ADD CONSTRAINT named_values_secret CHECK (
        secret = (secret_value IS NOT NULL) AND secret = (value IS NULL));
