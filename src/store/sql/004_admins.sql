-- Who may use the API, and for what.
CREATE TABLE admins (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    roles INTEGER NOT NULL,             -- 1 issuer, 2 approver, 4 auditor, 8 operator
    since BIGINT NOT NULL,
    given_by TEXT NOT NULL,
    PRIMARY KEY (kind, name)
);
