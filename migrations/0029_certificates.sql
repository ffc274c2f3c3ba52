-- Certificates, for client certificates towards backends, for signatures of tokens and as issuers of callers' certificates.
CREATE TABLE certificates (
    id               uuid PRIMARY KEY,
    parent_id        uuid NOT NULL REFERENCES services ON DELETE CASCADE,
    name             text NOT NULL,
    rev              bigint NOT NULL,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    subject          text NOT NULL,
    thumbprint       text NOT NULL,
    expiration_date  timestamptz NOT NULL,
    chain_pem        text NOT NULL,
    key_pem          bytea
);
CREATE UNIQUE INDEX certificates_name ON certificates (parent_id, lower(name));
