-- Version 1, in SQL that SQLite and PostgreSQL both read (there BLOB is a domain over bytea).
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
CREATE INDEX certificates_by_expiry ON certificates (status, not_after);
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
    der BLOB                            -- NULL: intended, never signed; only the newest keeps its bytes
);
-- Append-only; each record holds the hash of the one before.
CREATE TABLE audit (
    sequence BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    event TEXT NOT NULL,
    hash BLOB NOT NULL
);
