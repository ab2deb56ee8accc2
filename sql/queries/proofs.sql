-- Proving: hashes of the tree, salts, and what was signed.

-- name: TileHashes :batchmany
-- A part of a full tile: so many bytes from one on, counted from 1. Index: tiles_pkey.
SELECT substr(hashes, @first::integer, @length::integer)::bytea AS hashes FROM tiles
WHERE organization = @organization AND level = @level AND index = @index;

-- name: EntrySalts :batchmany
-- Newest first. Index: entries_pkey.
SELECT position, created_at, entry, salts FROM entries
WHERE organization = @organization AND position = ANY (@positions::bigint[]) ORDER BY position DESC;

-- name: SaltsMany :batchmany
-- Newest first. Index: entries_pkey.
SELECT position, salts FROM entries
WHERE organization = @organization AND position = ANY (@positions::bigint[]) ORDER BY position DESC;

-- name: EntryToProve :batchmany
-- With the hashes of the tile that the entry's leaf is in, once that is full, and the newest
-- checkpoint, of size 0 when there is none. LIMIT keeps the planner from joining with all tiles
-- of the trail. Index: entry_ids_pkey, entries_pkey, tiles_pkey, checkpoints_pkey.
SELECT e.position, e.created_at, e.entry, e.salts, t.hashes, coalesce(c.size, 0)::bigint AS size, coalesce(c.note, '')::text AS note
FROM entry_ids i JOIN entries e ON e.organization = i.organization AND e.position = i.position
LEFT JOIN LATERAL (
  SELECT k.hashes FROM tiles k WHERE k.organization = i.organization AND k.level = 0 AND k.index = i.position / 256 LIMIT 1
) AS t ON true
LEFT JOIN LATERAL (
  SELECT n.size, n.note FROM checkpoints n WHERE n.organization = i.organization ORDER BY n.number DESC LIMIT 1
) AS c ON true
WHERE i.organization = @organization AND i.id = @id;

-- name: CheckpointNewest :batchmany
-- Index: checkpoints_pkey backwards.
SELECT number, size, root, note, signed_at FROM checkpoints
WHERE organization = @organization ORDER BY number DESC LIMIT 1;

-- Building, by the worker.

-- name: TrailsToSign :many
-- Trails that have grown since they were signed. Reads every head.
SELECT h.organization FROM heads h LEFT JOIN signing_progress p ON p.organization = h.organization
WHERE h.size > coalesce(p.size, 0) ORDER BY h.organization;

-- name: SigningEnsure :batchexec
-- Index: signing_progress_pkey.
INSERT INTO signing_progress (organization) VALUES (@organization) ON CONFLICT DO NOTHING;

-- name: SigningLock :batchone
-- Index: signing_progress_pkey.
SELECT size FROM signing_progress WHERE organization = @organization FOR UPDATE;

-- name: HeadState :batchmany
-- Index: heads_pkey.
SELECT size, root, clock_timestamp()::timestamptz AS now FROM heads WHERE organization = @organization;

-- name: SigningAdvance :batchexec
-- Index: signing_progress_pkey.
UPDATE signing_progress SET size = @size WHERE organization = @organization;

-- name: CheckpointInsert :batchexec
INSERT INTO checkpoints (organization, number, size, root, note, signed_at)
VALUES (@organization, @number, @size, @root, @note, @signed_at);
