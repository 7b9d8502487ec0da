-- Lists by distribution point: which one a certificate names is fixed when it is issued. 0: the CA's list of all.
ALTER TABLE certificates ADD COLUMN shard BIGINT NOT NULL DEFAULT 0;
-- All that a CRL needs, list by list.
DROP INDEX certificates_revoked;
CREATE INDEX certificates_revoked ON certificates (issuer, shard, not_after, serial, revoked_at, revocation_reason, status)
    WHERE status >= 2;
-- Lists are files (crl/ of the state folder); a row with sha256 is one that was published.
ALTER TABLE crls ADD COLUMN shard BIGINT NOT NULL DEFAULT 0;
ALTER TABLE crls ADD COLUMN base BIGINT NOT NULL DEFAULT 0; -- of a delta: the number that it says the changes since
ALTER TABLE crls ADD COLUMN size BIGINT NOT NULL DEFAULT 0;
ALTER TABLE crls ADD COLUMN sha256 BLOB;
-- The octets, in order, where several nodes share the database.
CREATE TABLE crl_parts (
    number BIGINT NOT NULL,
    part BIGINT NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (number, part)
);
-- Under which addresses a list was ever named by certificates: it says so of itself.
CREATE TABLE crl_points (
    issuer BLOB NOT NULL,
    shard BIGINT NOT NULL,
    url TEXT NOT NULL,
    since BIGINT NOT NULL,
    PRIMARY KEY (issuer, shard, url)
);
