-- The audit log: append-only, hashed into a Merkle tree (docs/audit-log.md). The table audit, of before, is carried into it
-- at the first start and then empty.
CREATE TABLE log (
    sequence BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    event TEXT NOT NULL,
    actor TEXT NOT NULL,
    serial TEXT,
    name TEXT,
    record TEXT NOT NULL,               -- JSON; what stands in the columns beside it is for searching
    hashes BLOB NOT NULL                -- of its leaf, then of each node of the tree that it completes
);
CREATE INDEX log_by_serial ON log (serial, sequence) WHERE serial IS NOT NULL;
CREATE TABLE log_heads (
    size BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    note TEXT NOT NULL                  -- the signed head
);
