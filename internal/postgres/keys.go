package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"ocore.dev/audit/gen/db"
	"ocore.dev/audit/internal/audit"
)

// AddKey implements [audit.KeyStore].
func (s *Store) AddKey(ctx context.Context, key audit.APIKey) (audit.APIKey, error) {
	permissions := make([]string, len(key.Permissions))
	for i, p := range key.Permissions {
		permissions[i] = string(p)
	}
	var p pipeline
	p.in(ctx, key.Organization)
	created := many(&p, queries.KeyInsert(ctx, &p, []db.KeyInsertParams{{
		Organization: key.Organization, ID: key.ID, Name: key.Name, Hash: key.Hash[:], Permissions: permissions,
		CreatedBy: key.CreatedBy, ExpiresAt: key.ExpiresAt, Of: key.Organization, Max: audit.MaxAPIKeys,
	}}).Query)
	if err := p.run(ctx, s.reads); err != nil {
		return audit.APIKey{}, translate("add an API key", err)
	}
	if len(*created) == 0 {
		return audit.APIKey{}, audit.ErrTooManyKeys
	}
	key.CreatedAt = (*created)[0].UTC()
	return key, nil
}

// APIKeys implements [audit.KeyStore].
func (s *Store) APIKeys(ctx context.Context, organization string) ([]audit.APIKey, error) {
	var p pipeline
	p.in(ctx, organization)
	read := many(&p, queries.KeyList(ctx, &p, []db.KeyListParams{{Organization: organization, Max: audit.MaxListedAPIKeys}}).Query)
	if err := p.run(ctx, s.reads); err != nil {
		return nil, translate("list API keys", err)
	}
	keys := make([]audit.APIKey, len(*read))
	for i, row := range *read {
		keys[i] = apiKey(organization, db.KeyByIDRow(row))
	}
	return keys, nil
}

// APIKey implements [audit.KeyStore].
func (s *Store) APIKey(ctx context.Context, organization, id string) (audit.APIKey, error) {
	var p pipeline
	p.in(ctx, organization)
	return s.readKey(ctx, &p, organization, id)
}

// RevokeKey implements [audit.KeyStore].
func (s *Store) RevokeKey(ctx context.Context, organization, id, by string) (audit.APIKey, error) {
	var p pipeline
	p.in(ctx, organization)
	exec(&p, queries.KeyRevoke(ctx, &p, []db.KeyRevokeParams{{By: by, Organization: organization, ID: id}}).Exec)
	return s.readKey(ctx, &p, organization, id)
}

// KeyUsed implements [audit.KeyStore].
func (s *Store) KeyUsed(ctx context.Context, organization, id string) error {
	var p pipeline
	p.in(ctx, organization)
	exec(&p, queries.KeyUsed(ctx, &p, []db.KeyUsedParams{{Organization: organization, ID: id}}).Exec)
	return translate("note the use of an API key", p.run(ctx, s.reads))
}

// readKey runs the pipeline with a look-up at its end.
func (s *Store) readKey(ctx context.Context, p *pipeline, organization, id string) (audit.APIKey, error) {
	read := many(p, queries.KeyByID(ctx, p, []db.KeyByIDParams{{Organization: organization, ID: id}}).Query)
	if err := p.run(ctx, s.reads); err != nil {
		return audit.APIKey{}, translate("read an API key", err)
	}
	if len(*read) == 0 {
		return audit.APIKey{}, audit.ErrNotFound
	}
	return apiKey(organization, (*read)[0]), nil
}

func apiKey(organization string, row db.KeyByIDRow) audit.APIKey {
	key := audit.APIKey{
		ID: row.ID, Organization: organization, Name: row.Name, CreatedAt: row.CreatedAt.UTC(), CreatedBy: row.CreatedBy,
		ExpiresAt: row.ExpiresAt.UTC(), LastUsedAt: timeOrZero(row.LastUsedAt), RevokedAt: timeOrZero(row.RevokedAt),
	}
	copy(key.Hash[:], row.Hash)
	for _, p := range row.Permissions {
		key.Permissions = append(key.Permissions, audit.Permission(p))
	}
	if row.RevokedBy != nil {
		key.RevokedBy = *row.RevokedBy
	}
	return key
}

func timeOrZero(t pgtype.Timestamptz) time.Time {
	if !t.Valid {
		return time.Time{}
	}
	return t.Time.UTC()
}
