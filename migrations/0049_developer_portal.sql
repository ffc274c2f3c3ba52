-- What a publisher sets about a service's developer portal, and what the developers' accounts need.

CREATE TABLE developer_portals (
    id                uuid PRIMARY KEY,
    parent_id         uuid NOT NULL REFERENCES services ON DELETE CASCADE,
    name              text NOT NULL,
    rev               bigint NOT NULL,
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL,
    title             text,
    logo              text,
    accent_color      text,
    welcome           text,
    pages             text[],
    sign_in_providers text[]
);
CREATE UNIQUE INDEX developer_portals_name ON developer_portals (parent_id, lower(name));

-- Which text of the terms an account's owner accepted.
CREATE TABLE terms_consents (
    user_id     uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    digest      bytea NOT NULL,
    accepted_at timestamptz NOT NULL
);

-- A ticket belongs to an account, whose address may change; `email` is where the ticket was sent.
ALTER TABLE user_tickets ADD COLUMN user_id uuid REFERENCES users ON DELETE CASCADE;
UPDATE user_tickets t SET user_id = u.id FROM users u WHERE u.parent_id = t.service_id AND lower(u.email) = lower(t.email);
CREATE INDEX user_tickets_user ON user_tickets (user_id);

-- Developers look at their own usage.
CREATE INDEX call_counts_user ON call_counts (service_id, user_id, period_start);
