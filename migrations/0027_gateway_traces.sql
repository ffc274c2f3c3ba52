-- What policies did for calls whose callers may see it, for an hour.
CREATE TABLE gateway_traces (
    id          uuid PRIMARY KEY,
    service_id  uuid NOT NULL REFERENCES services ON DELETE CASCADE,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    trace       jsonb NOT NULL
);
CREATE INDEX gateway_traces_service ON gateway_traces (service_id, created_at DESC);
CREATE INDEX gateway_traces_end ON gateway_traces (expires_at);

-- Debug credentials of the built-in gateway that were issued up to this moment are of no use any more.
CREATE TABLE debug_invalidations (
    service_id      uuid PRIMARY KEY REFERENCES services ON DELETE CASCADE,
    invalidated_at  timestamptz NOT NULL
);
