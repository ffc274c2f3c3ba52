-- The policy of a resolver of a GraphQL API.
CREATE TABLE resolver_policies (
    id         uuid PRIMARY KEY,
    parent_id  uuid NOT NULL REFERENCES api_resolvers ON DELETE CASCADE,
    name       text NOT NULL,
    rev        bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    value      text NOT NULL,
    format     text NOT NULL
);
CREATE UNIQUE INDEX resolver_policies_name ON resolver_policies (parent_id, lower(name));
