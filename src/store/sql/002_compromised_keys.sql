CREATE INDEX certificates_by_key ON certificates (spki_sha256) WHERE status = 2 AND revocation_reason = 1;
