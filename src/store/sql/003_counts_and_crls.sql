DROP INDEX certificates_by_expiry;
CREATE INDEX certificates_by_expiry ON certificates (status, not_after, kind);
-- All that a CRL needs.
CREATE INDEX certificates_revoked ON certificates (not_after, serial, issuer, revoked_at, revocation_reason, status)
    WHERE status >= 2;
