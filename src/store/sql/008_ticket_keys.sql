-- Keys that gateways seal sessions with, so that each resumes the others'. Rows go when no session can need them.
CREATE TABLE ticket_keys (
    id BIGINT PRIMARY KEY,              -- the highest seals
    made_at BIGINT NOT NULL,
    sealing BLOB NOT NULL               -- name, AES-256 key, HMAC key: 80 octets
);
