-- +goose Up

-- The roles. Logins become members of them; the owner of the tables is whoever migrates.
--   ocore_audit_serving  the service: adds entries, never changes one
--   ocore_audit_worker   background work: reads every head
-- +goose StatementBegin
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'ocore_audit_serving') THEN
    CREATE ROLE ocore_audit_serving NOLOGIN;
  END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'ocore_audit_worker') THEN
    CREATE ROLE ocore_audit_worker NOLOGIN;
  END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
  NULL; -- roles belong to the whole cluster: another database's migration made them meanwhile
END
$$;
-- +goose StatementEnd

CREATE EXTENSION IF NOT EXISTS pg_trgm;

-- One row an organization. Its lock gives out positions; size, time, frontier and root
-- are of the same instant, always.
CREATE TABLE heads (
  organization    text        NOT NULL COLLATE "C" PRIMARY KEY,
  size            bigint      NOT NULL DEFAULT 0 CHECK (size >= 0),
  last_created_at timestamptz NOT NULL DEFAULT '0001-01-01 00:00:00+00',
  frontier        bytea       NOT NULL DEFAULT '',
  root            bytea       NOT NULL DEFAULT sha256('')
) WITH (fillfactor = 50);

-- entry is the JSON text that the API returns, but for position and created_at. The
-- other columns repeat what is filtered on. Positions are dense from 0 and created_at
-- never decreases along them.
CREATE TABLE entries (
  organization  text        NOT NULL COLLATE "C",
  position      bigint      NOT NULL,
  created_at    timestamptz NOT NULL,
  action        text        NOT NULL COLLATE "C",
  resource_type text        COLLATE "C",
  resource_id   text        COLLATE "C",
  user_id       text        COLLATE "C",
  entry         text        NOT NULL COLLATE "C",
  salts         bytea       NOT NULL,
  leaf_hash     bytea       NOT NULL,
  CONSTRAINT entries_pkey PRIMARY KEY (organization, position)
) WITH (autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 20000);

CREATE INDEX entries_created_at_idx    ON entries (organization, created_at, position);
CREATE INDEX entries_action_idx        ON entries (organization, action, position);
CREATE INDEX entries_resource_type_idx ON entries (organization, resource_type, position) WHERE resource_type IS NOT NULL;
CREATE INDEX entries_resource_id_idx   ON entries (organization, resource_id, position) WHERE resource_id IS NOT NULL;
CREATE INDEX entries_user_id_idx       ON entries (organization, user_id, position) WHERE user_id IS NOT NULL;

-- Ids outlive their entries: an id is one entry's for ever.
CREATE TABLE entry_ids (
  organization text   NOT NULL COLLATE "C",
  id           text   NOT NULL COLLATE "C",
  position     bigint NOT NULL,
  CONSTRAINT entry_ids_pkey PRIMARY KEY (organization, id)
);

-- Full tiles of the Merkle tree: 256 hashes of a level, and the root over them, which
-- is the tile's hash in the level above.
CREATE TABLE tiles (
  organization text     NOT NULL COLLATE "C",
  level        smallint NOT NULL,
  index        bigint   NOT NULL,
  hashes       bytea    NOT NULL CHECK (length(hashes) = 8192),
  root         bytea    NOT NULL CHECK (length(root) = 32),
  CONSTRAINT tiles_pkey PRIMARY KEY (organization, level, index)
);

-- The admin trail's substring index. It holds that one trail alone, and has no row-level
-- policy because PostgreSQL uses no trigram index under one.
CREATE TABLE admin_search (
  position bigint NOT NULL PRIMARY KEY,
  folded   text   NOT NULL COLLATE "C"
);
CREATE INDEX admin_search_folded_idx ON admin_search USING gin (folded gin_trgm_ops);

-- One organization at a time, set for the transaction. After a transaction the setting
-- is '' rather than NULL, so both must mean "none".
-- +goose StatementBegin
DO $$
DECLARE name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['heads', 'entries', 'entry_ids', 'tiles'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format($policy$CREATE POLICY one_organization ON %I
      USING (organization = nullif(current_setting('ocore_audit.organization', true), ''))$policy$, name);
  END LOOP;
END
$$;
-- +goose StatementEnd

-- The worker must see which trails there are before it can choose one.
CREATE POLICY every_head ON heads FOR SELECT TO ocore_audit_worker USING (true);

GRANT SELECT, INSERT, UPDATE ON heads TO ocore_audit_serving;
GRANT SELECT, INSERT ON entries, entry_ids, tiles, admin_search TO ocore_audit_serving;
GRANT SELECT ON heads, entries, tiles TO ocore_audit_worker;

-- +goose Down
DROP TABLE admin_search, tiles, entry_ids, entries, heads;
