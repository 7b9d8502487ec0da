-- The store, version 5, in SQL that SQLite and PostgreSQL both read (PostgreSQL: CREATE DOMAIN blob AS bytea first).
-- Times are microseconds since 1970 UTC. Numbers that must rise without gaps in one order are drawn by the one writer.
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
-- A row exists before anything is signed (intent), so that no certificate can be without one.
CREATE TABLE certificates (
    serial TEXT PRIMARY KEY,            -- 32 hex digits
    sequence BIGINT NOT NULL UNIQUE,    -- order of issuance
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    status INTEGER NOT NULL,            -- 0 intent, 1 issued, 2 revoked, 3 abandoned
    issuer BLOB NOT NULL,               -- SHA-256 of the issuer's SubjectPublicKeyInfo
    spki_sha256 BLOB NOT NULL,
    tbs_sha256 BLOB NOT NULL,
    idempotency_key TEXT UNIQUE,
    request_sha256 BLOB NOT NULL,       -- of what was asked, to tell a repeated key's other request
    created BIGINT NOT NULL,
    not_before BIGINT NOT NULL,
    not_after BIGINT NOT NULL,
    subject TEXT,
    sha256 BLOB,
    der BLOB,
    revoked_at BIGINT,
    revocation_reason INTEGER
);
CREATE INDEX certificates_by_name ON certificates (name, kind, not_after);
CREATE INDEX certificates_by_expiry ON certificates (status, not_after, kind);
CREATE INDEX certificates_revoked ON certificates (not_after, serial, issuer, revoked_at, revocation_reason, status)
    WHERE status >= 2;                  -- all that a CRL needs
CREATE INDEX certificates_by_key ON certificates (spki_sha256) WHERE status = 2 AND revocation_reason = 1;
-- What gateways follow. Reason 8 takes an entry back (removeFromCRL).
CREATE TABLE feed (
    sequence BIGINT PRIMARY KEY,
    serial TEXT NOT NULL,
    issuer BLOB NOT NULL,
    at BIGINT NOT NULL,
    reason INTEGER NOT NULL
);
CREATE TABLE crls (
    number BIGINT PRIMARY KEY,
    this_update BIGINT NOT NULL,
    next_update BIGINT NOT NULL,
    feed_sequence BIGINT NOT NULL,      -- the last entry of the feed that it knows
    entries BIGINT NOT NULL,
    der BLOB,                           -- NULL: intended, never signed; only the newest keeps its bytes
    issuer BLOB                         -- as in certificates; numbers rise over all issuers
);
-- Who may use the API, and for what.
CREATE TABLE admins (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    roles INTEGER NOT NULL,             -- 1 issuer, 2 approver, 4 auditor, 8 operator
    since BIGINT NOT NULL,
    given_by TEXT NOT NULL,
    PRIMARY KEY (kind, name)
);
-- Append-only; each record holds the hash of the one before.
CREATE TABLE audit (
    sequence BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    event TEXT NOT NULL,
    hash BLOB NOT NULL
);
