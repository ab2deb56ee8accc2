-- Verifying: everything that is stored of a trail, held against everything else.

-- name: HeadWhole :batchmany
-- Index: heads_pkey.
SELECT size, last_created_at, frontier, root FROM heads WHERE organization = @organization;

-- name: EntryLast :batchmany
-- Index: entries_pkey backwards.
SELECT position FROM entries WHERE organization = @organization ORDER BY position DESC LIMIT 1;

-- name: EntryCount :batchone
-- Index: entries_pkey.
SELECT count(*) FROM entries WHERE organization = @organization AND position >= @low AND position < @high;

-- name: EntryWhole :batchmany
-- Index: entries_pkey.
SELECT position, created_at, action, resource_type, resource_id, user_id, entry, salts, leaf_hash FROM entries
WHERE organization = @organization AND position >= @low AND position < @high ORDER BY position;

-- name: LeafHashAt :batchmany
-- Index: entries_pkey.
SELECT position, leaf_hash FROM entries
WHERE organization = @organization AND position >= @low AND position < @high ORDER BY position;

-- name: EntryPositions :batchmany
-- The first so many of a span. Index: entries_pkey.
SELECT position FROM entries
WHERE organization = @organization AND position >= @low AND position < @high ORDER BY position LIMIT @max;

-- name: IDPositions :batchmany
-- Where each id stands, in their order. Index: entry_ids_pkey.
SELECT sent.n::bigint AS n, i.position FROM unnest(@ids::text[]) WITH ORDINALITY AS sent (id, n)
CROSS JOIN LATERAL (
  SELECT k.position FROM entry_ids k WHERE k.organization = @organization AND k.id = sent.id LIMIT 1
) AS i;

-- name: IDCount :batchone
-- Index: entry_ids_pkey.
SELECT count(*) FROM entry_ids WHERE organization = @organization;

-- name: IDStray :batchmany
-- Ids of entries that there are not.
SELECT i.id, i.position FROM entry_ids i
WHERE i.organization = @organization AND NOT EXISTS (
  SELECT FROM entries e
  WHERE e.organization = i.organization AND e.position = i.position AND starts_with(e.entry, '{"id":"' || i.id || '"')
) ORDER BY i.position, i.id LIMIT @max;

-- name: TileWhole :batchmany
-- Index: tiles_pkey.
SELECT index, hashes, root FROM tiles
WHERE organization = @organization AND level = @level AND index >= @low AND index < @high ORDER BY index;

-- name: TileStray :batchmany
-- Tiles that a tree of that size hasn't got.
SELECT level, index FROM tiles
WHERE organization = @organization
  AND (level NOT BETWEEN 0 AND 6 OR index < 0 OR index >= @size::bigint >> 8 * (level + 1))
ORDER BY level, index LIMIT @max;

-- name: CheckpointWhole :batchmany
-- Index: checkpoints_pkey.
SELECT number, size, root, note, signed_at FROM checkpoints
WHERE organization = @organization AND number >= @from_number ORDER BY number LIMIT @max;

-- name: PostedRanges :batchmany
-- Index: posting_progress_pkey.
SELECT ranges FROM posting_progress WHERE organization = @organization;

-- name: PostingOfRange :batchmany
-- What a range holds of each value that has postings. Index: posting_values_pkey, postings_pkey.
SELECT v.field, v.value, coalesce(p.count, 0)::integer AS count, coalesce(p.positions, '')::bytea AS positions FROM posting_values v
LEFT JOIN LATERAL (
  SELECT s.count, s.positions FROM postings s
  WHERE s.organization = v.organization AND s.field = v.field AND s.value = v.value AND s.range = @range LIMIT 1
) AS p ON true
WHERE v.organization = @organization;

-- name: PostingStray :batchmany
-- Postings that no value or range stands for, or that don't count on from the ones before.
SELECT field, value, range, wrong FROM (
  SELECT p.field, p.value, p.range,
    p.before <> sum(p.count) OVER (PARTITION BY p.field, p.value ORDER BY p.range) - p.count AS wrong,
    p.range < 0 OR p.range >= @ranges::bigint OR v.value IS NULL AS stray
  FROM postings p
  LEFT JOIN posting_values v ON v.organization = p.organization AND v.field = p.field AND v.value = p.value
  WHERE p.organization = @organization
) AS looked WHERE wrong OR stray ORDER BY range, field, value LIMIT @max;

-- name: PostingValueStray :batchmany
-- Values that are said to have postings and have none, or of no such field.
SELECT v.field, v.value FROM posting_values v
WHERE v.organization = @organization AND (v.field NOT BETWEEN 1 AND 4 OR NOT EXISTS (
  SELECT FROM postings p WHERE p.organization = v.organization AND p.field = v.field AND p.value = v.value
)) ORDER BY v.field, v.value LIMIT @max;

-- name: SearchWhole :batchmany
-- Index: admin_search_pkey.
SELECT position, folded FROM admin_search WHERE position >= @low AND position < @high ORDER BY position;

-- name: SearchStray :batchmany
-- Positions that the admin trail hasn't got.
SELECT position FROM admin_search WHERE position < 0 OR position >= @size ORDER BY position LIMIT @max;

-- name: OrganizationsStored :many
-- Every organization of which anything is stored, of those that the login may see.
WITH RECURSIVE seen (organization) AS (
  (SELECT e.organization FROM entries e ORDER BY e.organization LIMIT 1)
  UNION ALL
  SELECT (SELECT n.organization FROM entries n WHERE n.organization > s.organization ORDER BY n.organization LIMIT 1)
  FROM seen s WHERE s.organization IS NOT NULL
)
SELECT organization FROM (
  SELECT s.organization FROM seen s UNION SELECT h.organization FROM heads h UNION SELECT c.organization FROM checkpoints c
) AS known WHERE organization IS NOT NULL ORDER BY organization;

-- Building, by the worker.

-- name: SigningSize :batchmany
-- Index: signing_progress_pkey.
SELECT size FROM signing_progress WHERE organization = @organization;
