-- Who was enrolled by which token, and which certificate renews which.
ALTER TABLE certificates ADD COLUMN token TEXT;
ALTER TABLE certificates ADD COLUMN parent TEXT;
CREATE INDEX certificates_by_token ON certificates (token) WHERE token IS NOT NULL;
CREATE INDEX certificates_by_parent ON certificates (parent) WHERE parent IS NOT NULL;
-- By which an identity may enroll. The secret is derived from the id under a key file, so that whoever reads this
-- table can neither use a token nor test a guess.
CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    profile TEXT NOT NULL,
    created BIGINT NOT NULL,
    not_after BIGINT NOT NULL,
    uses BIGINT NOT NULL,               -- certificates that it is good for
    used_at BIGINT,
    revoked_at BIGINT,
    made_by TEXT NOT NULL
);
CREATE INDEX tokens_by_age ON tokens (created, id);
CREATE INDEX tokens_by_name ON tokens (name, created);
-- What waits for a person's decision, and what was decided.
CREATE TABLE requests (
    id TEXT PRIMARY KEY,                -- made from who asks and the key: who asks again finds it
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    profile TEXT NOT NULL,
    status BIGINT NOT NULL,             -- 0 waits, 1 approved, 2 denied, 3 issued
    door TEXT NOT NULL,
    source TEXT NOT NULL,
    credential TEXT NOT NULL,
    token TEXT,
    parent TEXT,
    spki_sha256 BLOB NOT NULL,
    csr BLOB NOT NULL,
    created BIGINT NOT NULL,
    decided_at BIGINT,
    decided_by TEXT,
    note TEXT,
    serial TEXT
);
CREATE INDEX requests_by_age ON requests (status, created, id);
