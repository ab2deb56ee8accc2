-- name: HeadGet :batchmany
-- Index: heads_pkey.
SELECT size FROM heads WHERE organization = @organization;

-- name: PositionFrom :batchmany
-- The first position not before a time. Index: entries_created_at_idx.
SELECT position FROM entries WHERE organization = @organization AND created_at >= @at::timestamptz
ORDER BY created_at, position LIMIT 1;

-- name: PositionAfter :batchmany
-- The first position after a time. Index: entries_created_at_idx.
SELECT position FROM entries WHERE organization = @organization AND created_at > @at::timestamptz
ORDER BY created_at, position LIMIT 1;

-- name: EntryRange :batchmany
-- Newest first. Index: entries_pkey.
SELECT position, created_at, entry FROM entries
WHERE organization = @organization AND position >= @low AND position < @high ORDER BY position DESC;

-- name: EntryNewest :batchmany
-- A page of the whole trail and the size that it is counted from, in one snapshot: row n of
-- the page, newest first, has position size - 1 - skip - n. A page beyond the end is one row
-- without an entry. Index: heads_pkey, entries_pkey.
SELECT e.position, e.created_at, e.entry, h.size
FROM (SELECT t.organization, t.size, t.size - @skip::bigint AS high FROM heads t WHERE t.organization = @organization) AS h
LEFT JOIN LATERAL (
  SELECT n.position, n.created_at, n.entry FROM entries n
  WHERE n.organization = h.organization AND n.position < h.high AND n.position >= h.high - @max::bigint
  ORDER BY n.position DESC
) AS e ON true;

-- name: EntryMany :batchmany
-- Newest first. Index: entries_pkey.
SELECT position, created_at, entry FROM entries
WHERE organization = @organization AND position = ANY (@positions::bigint[]) ORDER BY position DESC;

-- name: EntryByID :batchmany
-- Index: entry_ids_pkey, entries_pkey.
SELECT e.position, e.created_at, e.entry
FROM entry_ids i JOIN entries e ON e.organization = i.organization AND e.position = i.position
WHERE i.organization = @organization AND i.id = @id;
