-- Connection strings of external caches hold passwords: they are sealed, and replies name them only.
ALTER TABLE caches ADD COLUMN sealed_connection bytea;
