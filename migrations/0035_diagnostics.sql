-- Where calls are logged to, and what of them.

CREATE TABLE loggers (
    id uuid PRIMARY KEY, parent_id uuid NOT NULL REFERENCES services ON DELETE CASCADE, name text NOT NULL,
    rev bigint NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    logger_type text NOT NULL CHECK (logger_type IN ('azureEventHub', 'applicationInsights', 'azureMonitor')),
    description text, credentials jsonb, sealed_credentials bytea, is_buffered boolean NOT NULL, resource_id text
);
CREATE UNIQUE INDEX loggers_name ON loggers (parent_id, lower(name));

CREATE TABLE diagnostics (
    id uuid PRIMARY KEY, parent_id uuid NOT NULL REFERENCES services ON DELETE CASCADE, name text NOT NULL,
    rev bigint NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    always_log text, logger_id uuid NOT NULL REFERENCES loggers ON DELETE CASCADE, sampling jsonb, frontend jsonb,
    backend jsonb, log_client_ip boolean, http_correlation_protocol text, verbosity text, operation_name_format text,
    metrics boolean
);
CREATE UNIQUE INDEX diagnostics_name ON diagnostics (parent_id, lower(name));
CREATE INDEX diagnostics_logger ON diagnostics (logger_id);

CREATE TABLE api_diagnostics (
    id uuid PRIMARY KEY, parent_id uuid NOT NULL REFERENCES apis ON DELETE CASCADE, name text NOT NULL,
    rev bigint NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    always_log text, logger_id uuid NOT NULL REFERENCES loggers ON DELETE CASCADE, sampling jsonb, frontend jsonb,
    backend jsonb, log_client_ip boolean, http_correlation_protocol text, verbosity text, operation_name_format text,
    metrics boolean
);
CREATE UNIQUE INDEX api_diagnostics_name ON api_diagnostics (parent_id, lower(name));
CREATE INDEX api_diagnostics_logger ON api_diagnostics (logger_id);

-- Every service has it from the start; those that are there get it here.
INSERT INTO loggers (id, parent_id, name, rev, created_at, updated_at, logger_type, is_buffered)
SELECT gen_random_uuid(), id, 'azuremonitor', 1, now(), now(), 'azureMonitor', true FROM services WHERE provisioning_state = 'Succeeded';

-- The issues of all APIs of a service, as its list names them.
CREATE VIEW service_issues AS
SELECT i.id, a.parent_id, i.name, i.rev, i.created_at, i.updated_at, i.created_date, i.state,
       coalesce(i.api_id, '/apis/' || a.name) AS api_id, i.title, i.description, i.user_id
FROM issues i JOIN apis a ON a.id = i.parent_id;
