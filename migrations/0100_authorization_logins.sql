-- The login that somebody has to go through before a connection gives tokens: one at a time, a new one ends the one before.
CREATE TABLE authorization_logins (
    authorization_id        uuid PRIMARY KEY REFERENCES authorizations ON DELETE CASCADE,
    state_digest            bytea NOT NULL,
    sealed                  bytea NOT NULL,
    post_login_redirect_url text,
    expires_at              timestamptz NOT NULL
);
CREATE UNIQUE INDEX authorization_logins_state ON authorization_logins (state_digest);

ALTER TABLE authorizations ADD COLUMN sealed_tokens bytea;
