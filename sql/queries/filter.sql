-- Four statements a column: the total of a value, how many entries of it a span holds, their
-- positions newest first, and which of given positions have it. The last three are served by
-- the column's own index (organization, column, position) alone. The total is what postings
-- count, and the tail behind them by index, or all of a value without postings, in one
-- snapshot with the trail's size. LIMIT keeps the look-up of given positions
-- a descent each, where the planner would compare every entry of the value with all of them.

-- name: ActionTotal :batchmany
-- Index: heads_pkey, posting_progress_pkey, postings_pkey, entries_action_idx.
SELECT h.size, coalesce(16384 * p.ranges, 0)::bigint AS sealed, (b.total IS NOT NULL)::boolean AS posted,
  coalesce(b.total, 0)::bigint AS built, t.total AS tail
FROM (SELECT @organization::text AS organization, @value::text AS value) AS asked
JOIN heads h ON h.organization = asked.organization
LEFT JOIN posting_progress p ON p.organization = asked.organization
LEFT JOIN LATERAL (
  SELECT s.before + s.count AS total FROM postings s
  WHERE s.organization = asked.organization AND s.field = 1 AND s.value = asked.value AND s.range < p.ranges
  ORDER BY s.range DESC LIMIT 1
) AS b ON true
CROSS JOIN LATERAL (
  SELECT count(*) AS total FROM entries e
  WHERE e.organization = asked.organization AND e.action = asked.value AND e.position < h.size
    AND e.position >= CASE WHEN b.total IS NULL THEN 0 ELSE 16384 * p.ranges END
) AS t;

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

-- name: ResourceTypeTotal :batchmany
-- Index: heads_pkey, posting_progress_pkey, postings_pkey, entries_resource_type_idx.
SELECT h.size, coalesce(16384 * p.ranges, 0)::bigint AS sealed, (b.total IS NOT NULL)::boolean AS posted,
  coalesce(b.total, 0)::bigint AS built, t.total AS tail
FROM (SELECT @organization::text AS organization, @value::text AS value) AS asked
JOIN heads h ON h.organization = asked.organization
LEFT JOIN posting_progress p ON p.organization = asked.organization
LEFT JOIN LATERAL (
  SELECT s.before + s.count AS total FROM postings s
  WHERE s.organization = asked.organization AND s.field = 2 AND s.value = asked.value AND s.range < p.ranges
  ORDER BY s.range DESC LIMIT 1
) AS b ON true
CROSS JOIN LATERAL (
  SELECT count(*) AS total FROM entries e
  WHERE e.organization = asked.organization AND e.resource_type = asked.value AND e.position < h.size
    AND e.position >= CASE WHEN b.total IS NULL THEN 0 ELSE 16384 * p.ranges END
) AS t;

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

-- name: ResourceIDTotal :batchmany
-- Index: heads_pkey, posting_progress_pkey, postings_pkey, entries_resource_id_idx.
SELECT h.size, coalesce(16384 * p.ranges, 0)::bigint AS sealed, (b.total IS NOT NULL)::boolean AS posted,
  coalesce(b.total, 0)::bigint AS built, t.total AS tail
FROM (SELECT @organization::text AS organization, @value::text AS value) AS asked
JOIN heads h ON h.organization = asked.organization
LEFT JOIN posting_progress p ON p.organization = asked.organization
LEFT JOIN LATERAL (
  SELECT s.before + s.count AS total FROM postings s
  WHERE s.organization = asked.organization AND s.field = 3 AND s.value = asked.value AND s.range < p.ranges
  ORDER BY s.range DESC LIMIT 1
) AS b ON true
CROSS JOIN LATERAL (
  SELECT count(*) AS total FROM entries e
  WHERE e.organization = asked.organization AND e.resource_id = asked.value AND e.position < h.size
    AND e.position >= CASE WHEN b.total IS NULL THEN 0 ELSE 16384 * p.ranges END
) AS t;

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

-- name: UserIDTotal :batchmany
-- Index: heads_pkey, posting_progress_pkey, postings_pkey, entries_user_id_idx.
SELECT h.size, coalesce(16384 * p.ranges, 0)::bigint AS sealed, (b.total IS NOT NULL)::boolean AS posted,
  coalesce(b.total, 0)::bigint AS built, t.total AS tail
FROM (SELECT @organization::text AS organization, @value::text AS value) AS asked
JOIN heads h ON h.organization = asked.organization
LEFT JOIN posting_progress p ON p.organization = asked.organization
LEFT JOIN LATERAL (
  SELECT s.before + s.count AS total FROM postings s
  WHERE s.organization = asked.organization AND s.field = 4 AND s.value = asked.value AND s.range < p.ranges
  ORDER BY s.range DESC LIMIT 1
) AS b ON true
CROSS JOIN LATERAL (
  SELECT count(*) AS total FROM entries e
  WHERE e.organization = asked.organization AND e.user_id = asked.value AND e.position < h.size
    AND e.position >= CASE WHEN b.total IS NULL THEN 0 ELSE 16384 * p.ranges END
) AS t;

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
