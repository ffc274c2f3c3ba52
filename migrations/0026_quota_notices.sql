-- What a quota allows, beside what was counted, so that whoever watches need not know the policies.
ALTER TABLE quota_counters ADD COLUMN calls_limit bigint, ADD COLUMN bytes_limit bigint;

-- A subscription that has used so much of a quota: told once in each period, whichever process sees it first.
CREATE TABLE quota_notices (
    service_id      uuid NOT NULL REFERENCES services ON DELETE CASCADE,
    subscription_id uuid NOT NULL REFERENCES subscriptions ON DELETE CASCADE,
    step            text NOT NULL,
    period_start    timestamptz NOT NULL,
    percent         integer NOT NULL,
    period_end      timestamptz,
    told_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (service_id, subscription_id, step, period_start, percent)
);
CREATE INDEX quota_notices_end ON quota_notices (period_end);
CREATE INDEX quota_notices_subscription ON quota_notices (subscription_id);
