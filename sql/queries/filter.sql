-- Three statements a column: how many entries of a value a span holds, their positions
-- newest first, and which of given positions have it. Each is served by the column's own
-- index (organization, column, position) alone. LIMIT keeps the look-up of given positions
-- a descent each, where the planner would compare every entry of the value with all of them.

-- name: ActionCount :batchone
-- Index: entries_action_idx.
SELECT count(*) FROM entries
WHERE organization = @organization AND action = @value::text AND position >= @low AND position < @high;

-- name: ActionPositions :batchmany
-- Index: entries_action_idx.
SELECT position FROM entries
WHERE organization = @organization AND action = @value::text AND position >= @low AND position < @high
ORDER BY position DESC OFFSET @skip::bigint LIMIT @max::bigint;

-- name: ActionAmong :batchmany
-- Index: entries_action_idx.
SELECT p.position::bigint AS position FROM unnest(@positions::bigint[]) AS p (position)
CROSS JOIN LATERAL (
  SELECT FROM entries e WHERE e.organization = @organization AND e.action = @value::text AND e.position = p.position LIMIT 1
) AS held ORDER BY p.position DESC;

-- name: ResourceTypeCount :batchone
-- Index: entries_resource_type_idx.
SELECT count(*) FROM entries
WHERE organization = @organization AND resource_type = @value::text AND position >= @low AND position < @high;

-- name: ResourceTypePositions :batchmany
-- Index: entries_resource_type_idx.
SELECT position FROM entries
WHERE organization = @organization AND resource_type = @value::text AND position >= @low AND position < @high
ORDER BY position DESC OFFSET @skip::bigint LIMIT @max::bigint;

-- name: ResourceTypeAmong :batchmany
-- Index: entries_resource_type_idx.
SELECT p.position::bigint AS position FROM unnest(@positions::bigint[]) AS p (position)
CROSS JOIN LATERAL (
  SELECT FROM entries e WHERE e.organization = @organization AND e.resource_type = @value::text AND e.position = p.position LIMIT 1
) AS held ORDER BY p.position DESC;

-- name: ResourceIDCount :batchone
-- Index: entries_resource_id_idx.
SELECT count(*) FROM entries
WHERE organization = @organization AND resource_id = @value::text AND position >= @low AND position < @high;

-- name: ResourceIDPositions :batchmany
-- Index: entries_resource_id_idx.
SELECT position FROM entries
WHERE organization = @organization AND resource_id = @value::text AND position >= @low AND position < @high
ORDER BY position DESC OFFSET @skip::bigint LIMIT @max::bigint;

-- name: ResourceIDAmong :batchmany
-- Index: entries_resource_id_idx.
SELECT p.position::bigint AS position FROM unnest(@positions::bigint[]) AS p (position)
CROSS JOIN LATERAL (
  SELECT FROM entries e WHERE e.organization = @organization AND e.resource_id = @value::text AND e.position = p.position LIMIT 1
) AS held ORDER BY p.position DESC;

-- name: UserIDCount :batchone
-- Index: entries_user_id_idx.
SELECT count(*) FROM entries
WHERE organization = @organization AND user_id = @value::text AND position >= @low AND position < @high;

-- name: UserIDPositions :batchmany
-- Index: entries_user_id_idx.
SELECT position FROM entries
WHERE organization = @organization AND user_id = @value::text AND position >= @low AND position < @high
ORDER BY position DESC OFFSET @skip::bigint LIMIT @max::bigint;

-- name: UserIDAmong :batchmany
-- Index: entries_user_id_idx.
SELECT p.position::bigint AS position FROM unnest(@positions::bigint[]) AS p (position)
CROSS JOIN LATERAL (
  SELECT FROM entries e WHERE e.organization = @organization AND e.user_id = @value::text AND e.position = p.position LIMIT 1
) AS held ORDER BY p.position DESC;

-- Substrings of the admin trail. From three characters on the trigram index narrows;
-- below, no index can, and the table is read.

-- name: SearchCount :batchone
-- Index: admin_search_folded_idx.
-- The sum keeps the planner, which doesn't know the pattern, from reading the whole span.
SELECT count(*) FROM admin_search WHERE folded LIKE @value::text AND position + 0 >= @low AND position + 0 < @high;

-- name: SearchPositions :batchmany
-- Index: admin_search_folded_idx.
SELECT position FROM admin_search WHERE folded LIKE @value::text AND position + 0 >= @low AND position + 0 < @high
ORDER BY position + 0 DESC OFFSET @skip::bigint LIMIT @max::bigint;

-- name: SearchAmong :batchmany
-- Index: admin_search_pkey.
SELECT position FROM admin_search WHERE folded LIKE @value::text AND position = ANY (@positions::bigint[])
ORDER BY position DESC;

-- name: RecentSearchCount :batchone
-- Index: admin_search_pkey: for few positions, or patterns that many of them have.
SELECT count(*) FROM admin_search WHERE folded || '' LIKE @value::text AND position >= @low AND position < @high;

-- name: RecentSearchPositions :batchmany
-- Index: admin_search_pkey backwards.
SELECT position FROM admin_search WHERE folded || '' LIKE @value::text AND position >= @low AND position < @high
ORDER BY position DESC OFFSET @skip::bigint LIMIT @max::bigint;

-- name: ShortSearchCount :batchone
-- Index: none beyond admin_search_pkey's range.
SELECT count(*) FROM admin_search WHERE strpos(folded, @value::text) > 0 AND position >= @low AND position < @high;

-- name: ShortSearchPositions :batchmany
-- Index: admin_search_pkey backwards.
SELECT position FROM admin_search WHERE strpos(folded, @value::text) > 0 AND position >= @low AND position < @high
ORDER BY position DESC OFFSET @skip::bigint LIMIT @max::bigint;

-- name: ShortSearchAmong :batchmany
-- Index: admin_search_pkey.
SELECT position FROM admin_search WHERE strpos(folded, @value::text) > 0 AND position = ANY (@positions::bigint[])
ORDER BY position DESC;
