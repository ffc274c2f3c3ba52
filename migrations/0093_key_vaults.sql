-- The key vaults that keep secrets: URL of the secret, and how its last reading went.
ALTER TABLE named_values ADD COLUMN key_vault jsonb;
ALTER TABLE certificates ADD COLUMN key_vault jsonb;
