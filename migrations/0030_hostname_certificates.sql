-- Sealed certificates and keys of custom host names; files that were stored in the open before are dropped.
ALTER TABLE services ADD COLUMN hostname_certificates bytea;
UPDATE services SET hostname_configurations = (
    SELECT jsonb_agg(host - 'encodedCertificate' - 'certificatePassword' ORDER BY at)
    FROM jsonb_array_elements(hostname_configurations) WITH ORDINALITY hosts (host, at)
) WHERE jsonb_typeof(hostname_configurations) = 'array' AND hostname_configurations <> '[]';
