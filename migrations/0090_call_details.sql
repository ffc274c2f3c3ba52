-- What diagnostics log of single calls: headers, bodies, errors, messages of the trace policy.

CREATE TABLE call_details (
    id          uuid PRIMARY KEY,
    service_id  uuid NOT NULL REFERENCES services ON DELETE CASCADE,
    started_at  timestamptz NOT NULL,
    detail      jsonb NOT NULL
);
CREATE INDEX call_details_service ON call_details (service_id);
CREATE INDEX call_details_started ON call_details (started_at);
