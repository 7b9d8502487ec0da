-- ACME: who has an account, what was ordered, which names were proven.
CREATE TABLE acme_accounts (
    id TEXT PRIMARY KEY,
    thumbprint TEXT NOT NULL UNIQUE,    -- of the key, RFC 7638
    spki BLOB NOT NULL,
    deactivated BIGINT NOT NULL,        -- 0 or 1
    contact TEXT NOT NULL,              -- JSON
    token TEXT,                         -- by which it was bound; NULL: by none
    kind TEXT NOT NULL,                 -- the token's identity and profile
    name TEXT NOT NULL,
    profile TEXT NOT NULL,
    created BIGINT NOT NULL
);
CREATE INDEX acme_accounts_by_token ON acme_accounts (token) WHERE token IS NOT NULL;
CREATE INDEX acme_accounts_by_age ON acme_accounts (created) WHERE token IS NULL;
CREATE TABLE acme_orders (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    status BIGINT NOT NULL,             -- 0 pending, 1 waits for approval, 2 valid, 3 invalid
    profile TEXT NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL,            -- when the row goes
    replaces TEXT,                      -- the serial of a certificate
    request TEXT,
    serial TEXT,
    error TEXT
);
CREATE INDEX acme_orders_by_account ON acme_orders (account, created, id);
CREATE INDEX acme_orders_by_expiry ON acme_orders (expires);
CREATE INDEX acme_orders_by_serial ON acme_orders (serial) WHERE serial IS NOT NULL;
CREATE UNIQUE INDEX acme_orders_by_replaced ON acme_orders (replaces) WHERE replaces IS NOT NULL AND status <> 3;
CREATE TABLE acme_authorizations (
    id TEXT PRIMARY KEY,
    order_id TEXT NOT NULL,
    position BIGINT NOT NULL,           -- in the order
    type TEXT NOT NULL,
    value TEXT NOT NULL,
    wildcard BIGINT NOT NULL,           -- 0 or 1
    status BIGINT NOT NULL,             -- 0 pending, 1 valid, 2 invalid, 3 deactivated
    token TEXT NOT NULL,                -- of its challenges
    challenge TEXT,                     -- which was chosen
    started BIGINT,
    validated BIGINT,
    error TEXT
);
CREATE INDEX acme_authorizations_by_order ON acme_authorizations (order_id, position);
-- Nonces that were used, where several nodes answer. A node that is alone keeps them in memory.
CREATE TABLE acme_nonces (
    nonce TEXT PRIMARY KEY,
    at BIGINT NOT NULL
);
CREATE INDEX acme_nonces_by_age ON acme_nonces (at);
