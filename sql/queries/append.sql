-- name: OrganizationSet :batchexec
-- Row-level security: the organization of the statements that follow in the transaction.
SELECT set_config('ocore_audit.organization', @organization::text, true);

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

-- name: EntryInsertMany :batchexec
-- The arrays are columns of equal length; '' stands for NULL.
INSERT INTO entries (organization, position, created_at, action, resource_type, resource_id, user_id, entry, salts, leaf_hash)
SELECT @organization::text, position, at, action,
  nullif(resource_type, ''), nullif(resource_id, ''), nullif(user_id, ''), entry, salts, leaf_hash
FROM (
  SELECT unnest(@positions::bigint[]) AS position, unnest(@created_at::timestamptz[]) AS at,
    unnest(@actions::text[]) AS action, unnest(@resource_types::text[]) AS resource_type,
    unnest(@resource_ids::text[]) AS resource_id, unnest(@user_ids::text[]) AS user_id,
    unnest(@entries::text[]) AS entry, unnest(@salts::bytea[]) AS salts, unnest(@leaf_hashes::bytea[]) AS leaf_hash
) AS rows;

-- name: EntryIDInsertMany :batchexec
INSERT INTO entry_ids (organization, id, position)
SELECT @organization::text, unnest(@ids::text[]), unnest(@positions::bigint[]);

-- name: AdminSearchInsertMany :batchexec
INSERT INTO admin_search (position, folded)
SELECT unnest(@positions::bigint[]), unnest(@folded::text[]);

-- name: HeadAdvance :batchexec
-- Index: heads_pkey.
UPDATE heads SET size = @size, last_created_at = @last_created_at, frontier = @frontier, root = @root
WHERE organization = @organization;

-- name: LeafHashes :batchmany
-- Index: entries_pkey.
SELECT leaf_hash FROM entries
WHERE organization = @organization AND position >= @low AND position < @high ORDER BY position;

-- name: TileRoots :batchmany
-- Index: tiles_pkey.
SELECT root FROM tiles
WHERE organization = @organization AND level = @level AND index >= @low AND index < @high ORDER BY index;

-- name: TileInsert :batchexec
INSERT INTO tiles (organization, level, index, hashes, root)
VALUES (@organization, @level, @index, @hashes, @root);
