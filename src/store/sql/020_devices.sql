-- Devices that may enroll by what their makers gave them: by which serial number or key each is known.
CREATE TABLE devices (
    name TEXT PRIMARY KEY,              -- the identity
    vendor TEXT NOT NULL,               -- of enroll.vendors; '': any
    serial TEXT,                        -- the maker's
    key_sha256 BLOB,                    -- of a SubjectPublicKeyInfo
    profile TEXT NOT NULL,              -- '': the vendor's, else the kind's own
    not_after BIGINT NOT NULL,          -- 0: without end
    created BIGINT NOT NULL,
    made_by TEXT NOT NULL
);
CREATE UNIQUE INDEX devices_by_serial ON devices (serial, vendor) WHERE serial IS NOT NULL;
CREATE UNIQUE INDEX devices_by_key ON devices (key_sha256) WHERE key_sha256 IS NOT NULL;
--postgres: ALTER TABLE devices ALTER COLUMN name TYPE TEXT COLLATE "C";
-- What is good for one certificate and is no token: the row is what several nodes lock while they count.
CREATE TABLE credentials (
    id TEXT PRIMARY KEY,
    used_at BIGINT NOT NULL
);
--postgres: ALTER TABLE credentials ALTER COLUMN id TYPE TEXT COLLATE "C";
-- Of which key a TPM has said that it holds it, for the identifier of an order.
ALTER TABLE acme_authorizations ADD COLUMN attested_spki BLOB; -- SHA-256
