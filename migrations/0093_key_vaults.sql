-- The key vaults that keep secrets: URL of the secret, and how its last reading went.
ALTER TABLE named_values ADD COLUMN key_vault jsonb;
ALTER TABLE certificates ADD COLUMN key_vault jsonb;
-- A vault may not have given its secret yet.
ALTER TABLE named_values DROP CONSTRAINT named_values_secret;
ALTER TABLE named_values
    ADD CONSTRAINT named_values_secret CHECK (
        secret = (value IS NULL) AND (secret = (secret_value IS NOT NULL) OR (secret AND key_vault IS NOT NULL)));
