-- +goose Up

-- What was signed about each trail, for ever: numbered in the order of signing, sizes never
-- fall, and one size has one root. The signing key is not in the database.
CREATE TABLE checkpoints (
  organization text        NOT NULL COLLATE "C",
  number       bigint      NOT NULL,
  size         bigint      NOT NULL CHECK (size > 0),
  root         bytea       NOT NULL CHECK (length(root) = 32),
  note         text        NOT NULL COLLATE "C", -- a C2SP signed note
  signed_at    timestamptz NOT NULL,
  CONSTRAINT checkpoints_pkey PRIMARY KEY (organization, number)
);

-- How far each trail is signed. Its lock orders the signatures of several instances.
CREATE TABLE signing_progress (
  organization text   NOT NULL COLLATE "C" PRIMARY KEY,
  size         bigint NOT NULL DEFAULT 0 CHECK (size >= 0)
) WITH (fillfactor = 50);

-- +goose StatementBegin
DO $$
DECLARE name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['checkpoints', 'signing_progress'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format($policy$CREATE POLICY one_organization ON %I
      USING (organization = nullif(current_setting('ocore_audit.organization', true), ''))$policy$, name);
  END LOOP;
END
$$;
-- +goose StatementEnd

-- The worker must see how far each trail is signed before it can choose one.
CREATE POLICY every_progress ON signing_progress FOR SELECT TO ocore_audit_worker USING (true);

GRANT SELECT ON checkpoints TO ocore_audit_serving;
GRANT SELECT, INSERT ON checkpoints TO ocore_audit_worker;
GRANT SELECT, INSERT, UPDATE ON signing_progress TO ocore_audit_worker;

-- +goose Down
DROP TABLE checkpoints, signing_progress;
