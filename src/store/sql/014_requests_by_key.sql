-- SCEP asks what became of a request by its key.
CREATE INDEX requests_by_key ON requests (spki_sha256, created);
