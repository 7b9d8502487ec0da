-- Asked at each issuance. An index whose condition has no other index's column in it: without statistics SQLite would
-- rather go through all that is revoked.
DROP INDEX certificates_by_key;
CREATE INDEX certificates_by_key ON certificates (spki_sha256) WHERE revocation_reason = 1;
