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

-- name: EntryMany :batchmany
-- Newest first. Index: entries_pkey.
SELECT position, created_at, entry FROM entries
WHERE organization = @organization AND position = ANY (@positions::bigint[]) ORDER BY position DESC;

-- name: EntryByID :batchmany
-- Index: entry_ids_pkey, entries_pkey.
SELECT e.position, e.created_at, e.entry
FROM entry_ids i JOIN entries e ON e.organization = i.organization AND e.position = i.position
WHERE i.organization = @organization AND i.id = @id;
