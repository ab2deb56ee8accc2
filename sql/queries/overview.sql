-- What a viewer shows of a whole trail: how much there was when, and which values.

-- name: TrailExtent :batchmany
-- The times of the first and the last entry; nothing of an empty trail. Index: heads_pkey, entries_pkey.
SELECT h.size, e.created_at AS first, h.last_created_at AS last FROM heads h
CROSS JOIN LATERAL (
  SELECT n.created_at FROM entries n WHERE n.organization = h.organization ORDER BY n.position LIMIT 1
) AS e
WHERE h.organization = @organization;

-- name: PositionsFrom :batchmany
-- For each time, the first position not before it; -1 where everything is before it. In the
-- order of the times. Index: entries_created_at_idx.
SELECT coalesce((
  SELECT e.position FROM entries e WHERE e.organization = @organization AND e.created_at >= t.at ORDER BY e.created_at, e.position LIMIT 1
), -1)::bigint AS position
FROM unnest(@times::timestamptz[]) AS t (at) ORDER BY t.at;

-- Three statements a column. Facets are the commonest values at given positions, and how many
-- there are. Run facets are those of positions that follow upon each other: reading them as a
-- range costs about a quarter of looking each up. No entry's text is empty; that it is asked for
-- keeps the planner from reading all of an index that holds the value. Values are the first
-- that begin with a text, and the one behind them: of each only one index entry is read, from
-- which the next greater value is looked up. The text is given twice, as a parameter stands
-- once in a statement.

-- name: ActionFacets :batchmany
-- Index: entries_pkey.
SELECT e.action::text AS value, count(*) AS count, count(*) OVER () AS distinct_values
FROM unnest(@positions::bigint[]) AS p (position)
CROSS JOIN LATERAL (
  SELECT n.action FROM entries n WHERE n.organization = @organization AND n.position = p.position LIMIT 1
) AS e
WHERE e.action IS NOT NULL GROUP BY e.action ORDER BY count(*) DESC, e.action LIMIT @max::bigint;

-- name: ActionRunFacets :batchmany
-- Index: entries_pkey.
SELECT e.action::text AS value, count(*) AS count, count(*) OVER () AS distinct_values
FROM (
  SELECT n.action FROM entries n WHERE n.organization = @organization AND n.position < @high::bigint AND n.entry <> ''
  ORDER BY n.position DESC LIMIT @entries::bigint
) AS e
WHERE e.action IS NOT NULL GROUP BY e.action ORDER BY count(*) DESC, e.action LIMIT @max::bigint;

-- name: ActionValues :batchmany
-- Index: entries_action_idx.
WITH RECURSIVE found AS (
  (SELECT e.action AS value FROM entries e
   WHERE e.organization = @organization AND e.action >= @first::text ORDER BY e.action LIMIT 1)
  UNION ALL
  SELECT (
    SELECT e.action FROM entries e WHERE e.organization = @organization AND e.action > f.value ORDER BY e.action LIMIT 1
  ) FROM found f WHERE starts_with(f.value, @prefix::text)
)
SELECT value::text AS value FROM found WHERE value IS NOT NULL LIMIT @max::bigint;

-- name: ResourceTypeFacets :batchmany
-- Index: entries_pkey.
SELECT e.resource_type::text AS value, count(*) AS count, count(*) OVER () AS distinct_values
FROM unnest(@positions::bigint[]) AS p (position)
CROSS JOIN LATERAL (
  SELECT n.resource_type FROM entries n WHERE n.organization = @organization AND n.position = p.position LIMIT 1
) AS e
WHERE e.resource_type IS NOT NULL GROUP BY e.resource_type ORDER BY count(*) DESC, e.resource_type LIMIT @max::bigint;

-- name: ResourceTypeRunFacets :batchmany
-- Index: entries_pkey.
SELECT e.resource_type::text AS value, count(*) AS count, count(*) OVER () AS distinct_values
FROM (
  SELECT n.resource_type FROM entries n WHERE n.organization = @organization AND n.position < @high::bigint AND n.entry <> ''
  ORDER BY n.position DESC LIMIT @entries::bigint
) AS e
WHERE e.resource_type IS NOT NULL GROUP BY e.resource_type ORDER BY count(*) DESC, e.resource_type LIMIT @max::bigint;

-- name: ResourceTypeValues :batchmany
-- Index: entries_resource_type_idx.
WITH RECURSIVE found AS (
  (SELECT e.resource_type AS value FROM entries e
   WHERE e.organization = @organization AND e.resource_type >= @first::text ORDER BY e.resource_type LIMIT 1)
  UNION ALL
  SELECT (
    SELECT e.resource_type FROM entries e WHERE e.organization = @organization AND e.resource_type > f.value ORDER BY e.resource_type LIMIT 1
  ) FROM found f WHERE starts_with(f.value, @prefix::text)
)
SELECT value::text AS value FROM found WHERE value IS NOT NULL LIMIT @max::bigint;

-- name: ResourceIDFacets :batchmany
-- Index: entries_pkey.
SELECT e.resource_id::text AS value, count(*) AS count, count(*) OVER () AS distinct_values
FROM unnest(@positions::bigint[]) AS p (position)
CROSS JOIN LATERAL (
  SELECT n.resource_id FROM entries n WHERE n.organization = @organization AND n.position = p.position LIMIT 1
) AS e
WHERE e.resource_id IS NOT NULL GROUP BY e.resource_id ORDER BY count(*) DESC, e.resource_id LIMIT @max::bigint;

-- name: ResourceIDRunFacets :batchmany
-- Index: entries_pkey.
SELECT e.resource_id::text AS value, count(*) AS count, count(*) OVER () AS distinct_values
FROM (
  SELECT n.resource_id FROM entries n WHERE n.organization = @organization AND n.position < @high::bigint AND n.entry <> ''
  ORDER BY n.position DESC LIMIT @entries::bigint
) AS e
WHERE e.resource_id IS NOT NULL GROUP BY e.resource_id ORDER BY count(*) DESC, e.resource_id LIMIT @max::bigint;

-- name: ResourceIDValues :batchmany
-- Index: entries_resource_id_idx.
WITH RECURSIVE found AS (
  (SELECT e.resource_id AS value FROM entries e
   WHERE e.organization = @organization AND e.resource_id >= @first::text ORDER BY e.resource_id LIMIT 1)
  UNION ALL
  SELECT (
    SELECT e.resource_id FROM entries e WHERE e.organization = @organization AND e.resource_id > f.value ORDER BY e.resource_id LIMIT 1
  ) FROM found f WHERE starts_with(f.value, @prefix::text)
)
SELECT value::text AS value FROM found WHERE value IS NOT NULL LIMIT @max::bigint;

-- name: UserIDFacets :batchmany
-- Index: entries_pkey.
SELECT e.user_id::text AS value, count(*) AS count, count(*) OVER () AS distinct_values
FROM unnest(@positions::bigint[]) AS p (position)
CROSS JOIN LATERAL (
  SELECT n.user_id FROM entries n WHERE n.organization = @organization AND n.position = p.position LIMIT 1
) AS e
WHERE e.user_id IS NOT NULL GROUP BY e.user_id ORDER BY count(*) DESC, e.user_id LIMIT @max::bigint;

-- name: UserIDRunFacets :batchmany
-- Index: entries_pkey.
SELECT e.user_id::text AS value, count(*) AS count, count(*) OVER () AS distinct_values
FROM (
  SELECT n.user_id FROM entries n WHERE n.organization = @organization AND n.position < @high::bigint AND n.entry <> ''
  ORDER BY n.position DESC LIMIT @entries::bigint
) AS e
WHERE e.user_id IS NOT NULL GROUP BY e.user_id ORDER BY count(*) DESC, e.user_id LIMIT @max::bigint;

-- name: UserIDValues :batchmany
-- Index: entries_user_id_idx.
WITH RECURSIVE found AS (
  (SELECT e.user_id AS value FROM entries e
   WHERE e.organization = @organization AND e.user_id >= @first::text ORDER BY e.user_id LIMIT 1)
  UNION ALL
  SELECT (
    SELECT e.user_id FROM entries e WHERE e.organization = @organization AND e.user_id > f.value ORDER BY e.user_id LIMIT 1
  ) FROM found f WHERE starts_with(f.value, @prefix::text)
)
SELECT value::text AS value FROM found WHERE value IS NOT NULL LIMIT @max::bigint;
