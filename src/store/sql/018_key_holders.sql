-- Whose key is it: one that was compromised, or that stands in somebody else's certificate, is not certified again.
DROP INDEX certificates_by_key;
CREATE INDEX certificates_by_key ON certificates (spki_sha256);
