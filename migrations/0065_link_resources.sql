-- Links as resources of their own (`products/{id}/apiLinks/{id}`, contract 2024-05-01): another view of the pairs that
-- `products/{id}/apis/{id}` and its like make. A pair gets the head that every resource has; a pair that was made without a
-- name gets one, until a client names it.

DO $$
DECLARE
    pairs text[];
BEGIN
    FOREACH pairs SLICE 1 IN ARRAY ARRAY[
        ['product_apis', 'product_id'], ['product_groups', 'product_id'],
        ['api_tags', 'tag_id'], ['operation_tags', 'tag_id'], ['product_tags', 'tag_id']
    ] LOOP
        EXECUTE format(
            'ALTER TABLE %1$I ADD COLUMN id uuid NOT NULL DEFAULT gen_random_uuid(), '
            'ADD COLUMN name text NOT NULL DEFAULT replace(gen_random_uuid()::text, ''-'', ''''), '
            'ADD COLUMN is_named boolean NOT NULL DEFAULT false, '
            'ADD COLUMN rev bigint NOT NULL DEFAULT 1, '
            'ADD COLUMN created_at timestamptz NOT NULL DEFAULT now(), '
            'ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now()', pairs[1]);
        EXECUTE format('CREATE UNIQUE INDEX %I ON %I (id)', pairs[1] || '_id', pairs[1]);
        EXECUTE format('CREATE UNIQUE INDEX %I ON %I (%I, lower(name))', pairs[1] || '_name', pairs[1], pairs[2]);
    END LOOP;
END
$$;

-- Views of one table each, so that Postgres writes through them. The id of the target is computed, because another revision of
-- an API can become current.
CREATE VIEW product_api_links AS
SELECT l.id, l.product_id AS parent_id, l.name, l.rev, l.created_at, l.updated_at, l.is_named, l.api_id AS target_id,
       (SELECT '/apis/' || r.name FROM api_roots r WHERE r.id = l.api_id) AS api_id
FROM product_apis l;

CREATE VIEW product_group_links AS
SELECT l.id, l.product_id AS parent_id, l.name, l.rev, l.created_at, l.updated_at, l.is_named, l.group_id AS target_id,
       (SELECT '/groups/' || r.name FROM groups r WHERE r.id = l.group_id) AS group_id
FROM product_groups l;

CREATE VIEW tag_api_links AS
SELECT l.id, l.tag_id AS parent_id, l.name, l.rev, l.created_at, l.updated_at, l.is_named, l.api_id AS target_id,
       (SELECT '/apis/' || r.name FROM apis r WHERE r.id = l.api_id) AS api_id
FROM api_tags l;

CREATE VIEW tag_operation_links AS
SELECT l.id, l.tag_id AS parent_id, l.name, l.rev, l.created_at, l.updated_at, l.is_named, l.operation_id AS target_id,
       (SELECT '/apis/' || a.name || '/operations/' || r.name FROM api_operations r JOIN apis a ON a.id = r.parent_id
        WHERE r.id = l.operation_id) AS operation_id
FROM operation_tags l;

CREATE VIEW tag_product_links AS
SELECT l.id, l.tag_id AS parent_id, l.name, l.rev, l.created_at, l.updated_at, l.is_named, l.product_id AS target_id,
       (SELECT '/products/' || r.name FROM products r WHERE r.id = l.product_id) AS product_id
FROM product_tags l;
