-- Certificates that an operator wants renewed before their time: a condition, not a list of them, so that a window for a
-- million is one row.
CREATE TABLE renewal_windows (
    id BIGINT PRIMARY KEY,
    created BIGINT NOT NULL,            -- what was issued later is not meant
    made_by TEXT NOT NULL,
    why TEXT NOT NULL,
    begins BIGINT NOT NULL,
    spread BIGINT NOT NULL,             -- over which they are divided, microseconds
    kind TEXT,                          -- conditions; NULL: any
    pattern TEXT,                       -- of names, with *
    tag TEXT,
    profile TEXT,
    issuer BLOB,                        -- SHA-256 of the CA's SPKI
    key_type TEXT,
    removed BIGINT,                     -- when it was taken back; NULL: it holds
    removed_by TEXT
);
