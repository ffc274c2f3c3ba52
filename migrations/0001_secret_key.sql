-- Which master key sealed the secrets of this database: one row, so that a start with another key is refused.
CREATE TABLE secret_key (
    singleton boolean PRIMARY KEY CHECK (singleton),
    key_id    bytea NOT NULL
);
