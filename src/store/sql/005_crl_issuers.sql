ALTER TABLE crls ADD COLUMN issuer BLOB; -- as in certificates; numbers rise over all issuers
