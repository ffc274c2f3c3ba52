-- Where callers are, by the database of addresses that whoever runs Portico brings; empty is unknown.
-- Postal codes stay with the single calls: counted, each would be a row in every quarter of an hour.

ALTER TABLE calls
    ADD COLUMN country text NOT NULL DEFAULT '',
    ADD COLUMN region  text NOT NULL DEFAULT '',
    ADD COLUMN zip     text NOT NULL DEFAULT '';
ALTER TABLE call_counts
    ADD COLUMN country text NOT NULL DEFAULT '',
    ADD COLUMN region  text NOT NULL DEFAULT '',
    DROP CONSTRAINT call_counts_pkey,
    ADD PRIMARY KEY (service_id, period_start, api_id, operation_id, product_id, subscription_id, user_id, country, region);
