-- Which master key sealed the secrets of this database: one row, so that a start with another key is refused.
CREATE TABLE secret_key (
    only   boolean PRIMARY KEY CHECK (only),
    key_id bytea NOT NULL
);
