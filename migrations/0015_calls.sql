-- Calls through the gateways: every one for a while, and counts of every quarter of an hour for good.

CREATE TABLE calls (
    id              uuid NOT NULL,
    service_id      uuid NOT NULL,
    api_id          uuid,
    operation_id    uuid,
    product_id      uuid,
    subscription_id uuid,
    user_id         uuid,
    method          text NOT NULL,
    path            text NOT NULL,
    status          integer NOT NULL,
    cache           text NOT NULL,
    started_at      timestamptz NOT NULL,
    total_us        bigint NOT NULL,
    backend_us      bigint NOT NULL,
    request_bytes   bigint NOT NULL,
    response_bytes  bigint NOT NULL,
    client_ip       text NOT NULL,
    error_source    text,
    error_reason    text,
    revision        bigint NOT NULL
) PARTITION BY RANGE (started_at);
CREATE INDEX calls_service ON calls (service_id, started_at DESC, id);

-- Nil stands for "none" in the dimensions, because a key has no nulls.
CREATE TABLE call_counts (
    service_id      uuid NOT NULL,
    period_start    timestamptz NOT NULL,
    api_id          uuid NOT NULL,
    operation_id    uuid NOT NULL,
    product_id      uuid NOT NULL,
    subscription_id uuid NOT NULL,
    user_id         uuid NOT NULL,
    success         bigint NOT NULL,
    blocked         bigint NOT NULL,
    failed          bigint NOT NULL,
    other           bigint NOT NULL,
    bytes           bigint NOT NULL,
    cache_hits      bigint NOT NULL,
    cache_misses    bigint NOT NULL,
    total_us_sum    bigint NOT NULL,
    total_us_min    bigint NOT NULL,
    total_us_max    bigint NOT NULL,
    backend_us_sum  bigint NOT NULL,
    backend_us_min  bigint NOT NULL,
    backend_us_max  bigint NOT NULL,
    PRIMARY KEY (service_id, period_start, api_id, operation_id, product_id, subscription_id, user_id)
);
