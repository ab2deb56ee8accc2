-- Reading: where a frequent value stands.

-- name: PostingState :batchmany
-- Index: posting_progress_pkey, posting_values_pkey.
SELECT p.ranges, EXISTS (
  SELECT FROM posting_values v WHERE v.organization = p.organization AND v.field = @field AND v.value = @value
)::boolean AS posted
FROM posting_progress p WHERE p.organization = @organization;

-- name: PostingUpTo :batchmany
-- The last range up to one that holds the value: what ranks are counted from. Index: postings_pkey.
SELECT range, before, count, positions FROM postings
WHERE organization = @organization AND field = @field AND value = @value AND range <= @range
ORDER BY range DESC LIMIT 1;

-- name: PostingByRank :batchmany
-- The ranges that hold the value's entries number above+1 to number upto (the oldest is
-- number 1), newest first, down to the one that the first of these stands in. Index:
-- postings_before_idx.
SELECT p.range, p.before, p.count, p.positions FROM postings p
WHERE p.organization = @organization AND p.field = @field AND p.value = @value AND p.before < @upto::bigint
  AND p.before >= (
    SELECT s.before FROM postings s
    WHERE s.organization = @organization AND s.field = @field AND s.value = @value AND s.before <= @above::bigint
    ORDER BY s.before DESC LIMIT 1
  )
ORDER BY p.before DESC;

-- name: PostingRange :batchmany
-- Newest first. Index: postings_pkey.
SELECT range, before, count, positions FROM postings
WHERE organization = @organization AND field = @field AND value = @value AND range >= @low AND range < @high
ORDER BY range DESC;

-- name: PostingMany :batchmany
-- Those of given ranges that hold the value. Index: postings_pkey.
SELECT p.range, p.before, p.count, p.positions FROM unnest(@ranges::bigint[]) AS r (range)
CROSS JOIN LATERAL (
  SELECT s.range, s.before, s.count, s.positions FROM postings s
  WHERE s.organization = @organization AND s.field = @field AND s.value = @value AND s.range = r.range LIMIT 1
) AS p;

-- Building, by the worker.

-- name: TrailsToPost :many
-- Trails with ranges that are whole and not built, and how many. Reads every head.
SELECT h.organization, (h.size / 16384 - coalesce(p.ranges, 0))::bigint AS missing FROM heads h LEFT JOIN posting_progress p ON p.organization = h.organization
WHERE h.size >= 16384 * (coalesce(p.ranges, 0) + 1) ORDER BY h.organization;

-- name: ProgressEnsure :batchexec
-- Index: posting_progress_pkey.
INSERT INTO posting_progress (organization) VALUES (@organization) ON CONFLICT DO NOTHING;

-- name: ProgressLock :batchmany
-- Nothing while another instance builds this trail. Index: posting_progress_pkey, heads_pkey.
SELECT p.ranges, h.size FROM posting_progress p JOIN heads h ON h.organization = p.organization
WHERE p.organization = @organization FOR UPDATE OF p SKIP LOCKED;

-- name: ProgressAdvance :batchexec
-- Index: posting_progress_pkey.
UPDATE posting_progress SET ranges = @ranges WHERE organization = @organization;

-- name: EntryValues :batchmany
-- What entries are found by. Index: entries_pkey.
SELECT position, action, resource_type, resource_id, user_id FROM entries
WHERE organization = @organization AND position >= @low AND position < @high ORDER BY position;

-- name: PostedValues :batchmany
-- The values that have postings, and how many entries these know of. Index: posting_values_pkey, postings_pkey.
SELECT v.field, v.value, coalesce(p.upto, 0)::bigint AS upto FROM posting_values v
LEFT JOIN LATERAL (
  SELECT before + count AS upto FROM postings s
  WHERE s.organization = v.organization AND s.field = v.field AND s.value = v.value ORDER BY range DESC LIMIT 1
) AS p ON true
WHERE v.organization = @organization;

-- name: PostedValueInsert :batchexec
INSERT INTO posting_values (organization, field, value)
SELECT @organization::text, unnest(@fields::smallint[]), unnest(@values::text[]);

-- name: PostingInsert :batchexec
INSERT INTO postings (organization, field, value, range, before, count, positions)
SELECT @organization::text, unnest(@fields::smallint[]), unnest(@values::text[]), unnest(@ranges::bigint[]),
  unnest(@befores::bigint[]), unnest(@counts::integer[]), unnest(@positions::bytea[]);
