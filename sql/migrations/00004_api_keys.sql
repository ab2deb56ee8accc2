-- +goose Up

-- Keys of programs that record or read entries. Of a key's text its SHA-256 is stored; what
-- was random in it can't be guessed, so no slower hash is needed. Keys are never deleted: who
-- recorded an entry can be looked up for ever.
CREATE TABLE api_keys (
  organization text        NOT NULL COLLATE "C",
  id           text        NOT NULL COLLATE "C",
  name         text        NOT NULL COLLATE "C",
  hash         bytea       NOT NULL CHECK (length(hash) = 32),
  permissions  text[]      NOT NULL,
  created_at   timestamptz NOT NULL DEFAULT now(),
  created_by   text        NOT NULL COLLATE "C",
  expires_at   timestamptz NOT NULL,
  last_used_at timestamptz,
  revoked_at   timestamptz,
  revoked_by   text        COLLATE "C",
  CONSTRAINT api_keys_pkey PRIMARY KEY (organization, id)
);

ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY one_organization ON api_keys
  USING (organization = nullif(current_setting('ocore_audit.organization', true), ''));

-- What a key may do, and for how long, can't be changed later.
GRANT SELECT, INSERT ON api_keys TO ocore_audit_serving;
GRANT UPDATE (last_used_at, revoked_at, revoked_by) ON api_keys TO ocore_audit_serving;

-- +goose Down
DROP TABLE api_keys;
