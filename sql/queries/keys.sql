-- name: KeyInsert :batchmany
-- None when the organization has as many good keys as it may have. Index: api_keys_pkey.
INSERT INTO api_keys (organization, id, name, hash, permissions, created_by, expires_at)
SELECT @organization, @id, @name, @hash, @permissions::text[], @created_by, @expires_at::timestamptz
WHERE (SELECT count(*) FROM api_keys k WHERE k.organization = @of AND k.revoked_at IS NULL AND k.expires_at > now()) < @max::bigint
RETURNING created_at;

-- name: KeyList :batchmany
-- Newest first, for ids sort by time. Index: api_keys_pkey backwards.
SELECT id, name, hash, permissions, created_at, created_by, expires_at, last_used_at, revoked_at, revoked_by FROM api_keys
WHERE organization = @organization ORDER BY id DESC LIMIT @max::bigint;

-- name: KeyByID :batchmany
-- Index: api_keys_pkey.
SELECT id, name, hash, permissions, created_at, created_by, expires_at, last_used_at, revoked_at, revoked_by FROM api_keys
WHERE organization = @organization AND id = @id;

-- name: KeyUsed :batchexec
-- Index: api_keys_pkey.
UPDATE api_keys SET last_used_at = now() WHERE organization = @organization AND id = @id;

-- name: KeyRevoke :batchexec
-- The first time counts. Index: api_keys_pkey.
UPDATE api_keys SET revoked_at = now(), revoked_by = @by::text
WHERE organization = @organization AND id = @id AND revoked_at IS NULL;
