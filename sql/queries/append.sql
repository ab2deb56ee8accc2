-- name: OrganizationSet :batchexec
-- Row-level security: the organization of the statements that follow in the transaction.
SELECT set_config('ocore_audit.organization', @organization::text, true);

-- name: IdleTimeoutSet :batchexec
-- How long this transaction may wait for its next statement.
SELECT set_config('idle_in_transaction_session_timeout', @milliseconds::text, true);

-- name: HeadEnsure :batchexec
-- Index: heads_pkey.
INSERT INTO heads (organization) VALUES (@organization) ON CONFLICT DO NOTHING;

-- name: HeadLock :batchone
-- Index: heads_pkey. The clock is read after the lock is held: time never runs backwards
-- along positions, whoever waited how long.
WITH locked AS MATERIALIZED (
  SELECT size, last_created_at, frontier FROM heads WHERE organization = @organization FOR UPDATE
)
SELECT size, last_created_at, frontier, clock_timestamp()::timestamptz AS now FROM locked;

-- name: EntryKnown :batchmany
-- Index: entry_ids_pkey, entries_pkey. A statement of its own after the lock: it sees all
-- that was committed before the lock was granted. LIMIT keeps each id a look-up: without
-- statistics the planner would compare all stored ids with all that are sent.
SELECT i.id, e.position, e.created_at, e.entry, e.leaf_hash
FROM unnest(@ids::text[]) AS sent (id)
CROSS JOIN LATERAL (
  SELECT k.id, k.position FROM entry_ids k WHERE k.organization = @organization AND k.id = sent.id LIMIT 1
) AS i
CROSS JOIN LATERAL (
  SELECT n.position, n.created_at, n.entry, n.leaf_hash FROM entries n WHERE n.organization = @organization AND n.position = i.position LIMIT 1
) AS e;

-- name: TrailGrow :batchone
-- All that an append stores in one trail, or nothing of it: one statement, since COMMIT comes
-- in the same breath, and would make half of an append last if a statement of it were lost on
-- the way. Nothing is stored either unless the head is still where it was read.
-- The arrays are columns of equal length; '' stands for NULL. Index: heads_pkey.
WITH head AS (
  UPDATE heads SET size = @size, last_created_at = @last_created_at, frontier = @frontier, root = @root
  WHERE heads.organization = @organization AND heads.size = @old_size
  RETURNING organization, @old_size AS old_size, size
), ids AS (
  INSERT INTO entry_ids (organization, id, position)
  SELECT h.organization, unnest(@ids::text[]), generate_series(h.old_size, h.size - 1) FROM head h
), searchable AS (
  INSERT INTO admin_search (position, folded)
  SELECT unnest(@searchable::bigint[]), unnest(@folded::text[]) FROM head
), finished AS (
  INSERT INTO tiles (organization, level, index, hashes, root)
  SELECT h.organization, unnest(@levels::smallint[]), unnest(@indexes::bigint[]), unnest(@hashes::bytea[]), unnest(@roots::bytea[])
  FROM head h
), stored AS (
  INSERT INTO entries (organization, position, created_at, action, resource_type, resource_id, user_id, entry, salts, leaf_hash)
  SELECT new.organization, new.position, new.at, new.action,
    nullif(new.resource_type, ''), nullif(new.resource_id, ''), nullif(new.user_id, ''), new.entry, new.salts, new.leaf_hash
  FROM (
    SELECT h.organization, generate_series(h.old_size, h.size - 1) AS position, unnest(@created_at::timestamptz[]) AS at,
      unnest(@actions::text[]) AS action, unnest(@resource_types::text[]) AS resource_type,
      unnest(@resource_ids::text[]) AS resource_id, unnest(@user_ids::text[]) AS user_id,
      unnest(@entries::text[]) AS entry, unnest(@salts::bytea[]) AS salts, unnest(@leaf_hashes::bytea[]) AS leaf_hash
    FROM head h
  ) AS new
)
SELECT size FROM head;

-- name: LeafHashes :batchmany
-- Index: entries_pkey.
SELECT leaf_hash FROM entries
WHERE organization = @organization AND position >= @low AND position < @high ORDER BY position;

-- name: TileRoots :batchmany
-- Index: tiles_pkey.
SELECT root FROM tiles
WHERE organization = @organization AND level = @level AND index >= @low AND index < @high ORDER BY index;
