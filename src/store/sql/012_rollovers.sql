-- A CA that takes over from another, in stages (store/rollovers.h); at most one is under way.
CREATE TABLE rollovers (
    id BIGINT PRIMARY KEY,
    kind INTEGER NOT NULL,              -- 1 an issuing CA, 2 a root
    old_ca TEXT NOT NULL,
    next_ca TEXT NOT NULL,
    next_issuer BLOB NOT NULL,          -- SHA-256 of the next CA's SubjectPublicKeyInfo
    published_mark BLOB NOT NULL,       -- SHA-256 of the certificate that a node serves when it has published
    switched_mark BLOB NOT NULL,        -- of the certificate of the CA that issues on a node that has switched
    stage INTEGER NOT NULL,             -- 0 given up, 1 made, 2 published, 3 switched, 4 retired
    started BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    published BIGINT,                   -- when it last came to that stage
    switched BIGINT,
    started_by TEXT NOT NULL
);
-- The CAs whose certificates are to be renewed until the old one may go.
CREATE TABLE rollover_cas (
    rollover BIGINT NOT NULL,
    issuer BLOB NOT NULL,               -- as in certificates
    name TEXT NOT NULL,
    PRIMARY KEY (rollover, issuer)
);
-- Who is known to have fetched the CA certificates since the next one is among them.
CREATE TABLE rollover_told (
    rollover BIGINT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (rollover, kind, name)
);
-- Which CA certificates each authority node serves.
CREATE TABLE node_cas (
    node BIGINT NOT NULL,
    host TEXT NOT NULL,
    sha256 BLOB NOT NULL,
    issues INTEGER NOT NULL,            -- 1: it is that of the CA that issues there
    PRIMARY KEY (node, sha256)
);
