-- Which authority node works on an intent, so that no other takes it for abandoned.
ALTER TABLE certificates ADD COLUMN node BIGINT;
