-- What an inventory is searched by. A line that begins with --postgres: is for PostgreSQL alone: there texts sort as
-- octets too, so that a list goes on behind a name in the same order on both.
ALTER TABLE certificates ADD COLUMN profile TEXT; -- NULL: issued before it was kept
--postgres: ALTER TABLE certificates ALTER COLUMN name TYPE TEXT COLLATE "C";
--postgres: ALTER TABLE tokens ALTER COLUMN id TYPE TEXT COLLATE "C";
--postgres: ALTER TABLE requests ALTER COLUMN id TYPE TEXT COLLATE "C";
--postgres: ALTER TABLE admins ALTER COLUMN name TYPE TEXT COLLATE "C";
-- Newest first, within what is asked for.
CREATE INDEX certificates_by_kind ON certificates (kind, sequence);
CREATE INDEX certificates_by_profile ON certificates (profile, sequence);
CREATE INDEX certificates_by_issuer ON certificates (issuer, sequence);
CREATE INDEX certificates_gone ON certificates (sequence) WHERE status >= 2;
CREATE INDEX certificates_held ON certificates (sequence) WHERE revocation_reason = 6;
-- Who hangs on a CA.
CREATE INDEX certificates_of_issuer ON certificates (issuer, status, not_after);
-- What people call an identity by, whichever certificates it has.
CREATE TABLE tags (
    tag TEXT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    PRIMARY KEY (tag, name, kind)
);
CREATE INDEX tags_by_name ON tags (name, kind, tag);
--postgres: ALTER TABLE tags ALTER COLUMN tag TYPE TEXT COLLATE "C", ALTER COLUMN name TYPE TEXT COLLATE "C";
-- The same, together, with blanks between: what a list shows beside a name.
CREATE TABLE tagged (
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    tags TEXT NOT NULL,
    PRIMARY KEY (name, kind)
);
CREATE INDEX requests_by_creation ON requests (created, id);
