package audit

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"
)

// Bounds of API keys.
const (
	MaxAPIKeys       = 100  // that are good at once, of an organization; about: two made at the same moment both fit
	MaxListedAPIKeys = 1000 // of all that ever were
	maxKeyName       = 100
	defaultKeyLife   = 365 * 24 * time.Hour
	maxKeyLife       = 2 * defaultKeyLife
)

// APIKeyPrefix begins every API key, and no token.
const APIKeyPrefix = "ocore_"

// keyForm: no part but the last could hold an underscore, and none does.
var keyForm = regexp.MustCompile(`^` + APIKeyPrefix + `([A-Za-z0-9.~-]{1,64})_([0-9a-v]{16})_[0-9a-v]{52}$`)

// keyAlphabet sorts as the bytes do (RFC 4648, section 7).
var keyAlphabet = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// keyPermissions are what a key can be given. It belongs to an organization, so nothing of
// the platform's admin trail; and no key makes keys.
var keyPermissions = []Permission{CreateAuditLogs, ViewAuditLogs}

// ErrTooManyKeys is that the organization has [MaxAPIKeys] good keys.
var ErrTooManyKeys = errors.New("too many API keys")

// APIKey is what is kept of a key: everything but its text.
type APIKey struct {
	ID           string
	Organization string
	Name         string
	Hash         [sha256.Size]byte // of the whole text
	Permissions  []Permission
	CreatedAt    time.Time
	CreatedBy    string
	ExpiresAt    time.Time
	LastUsedAt   time.Time // zero: never. To about a minute
	RevokedAt    time.Time // zero: it isn't
	RevokedBy    string
}

// Principal is who calls by the key.
func (k APIKey) Principal() Principal {
	return Principal{
		Issuer: "api-key", Subject: "api-key:" + k.ID, Name: k.Name,
		Organizations: []string{k.Organization}, Permissions: k.Permissions,
	}
}

// ParseAPIKey takes a key's text apart into the organization and the id that it names.
func ParseAPIKey(text string) (organization, id string, ok bool) {
	parts := keyForm.FindStringSubmatch(text)
	if parts == nil {
		return "", "", false
	}
	return parts[1], parts[2], true
}

// HashAPIKey is what is stored of a text. SHA-256 is enough where 256 bits are random: a slow
// hash protects what people think of, and would cost every request its time.
func HashAPIKey(text string) [sha256.Size]byte { return sha256.Sum256([]byte(text)) }

// KeyStore keeps API keys. Its methods return [ErrNotFound] for a key that the organization
// doesn't have.
type KeyStore interface {
	AddKey(ctx context.Context, key APIKey) (APIKey, error) // with CreatedAt; or ErrTooManyKeys
	APIKeys(ctx context.Context, organization string) ([]APIKey, error)
	APIKey(ctx context.Context, organization, id string) (APIKey, error)
	RevokeKey(ctx context.Context, organization, id, by string) (APIKey, error)
	KeyUsed(ctx context.Context, organization, id string) error
}

// Keys makes, lists and revokes API keys, for callers whose permission was checked, and
// records that in the platform's admin trail.
type Keys struct {
	KeyStore
	trails *Service
}

// NewKeys keeps keys in store and records in trails.
func NewKeys(store KeyStore, trails *Service) *Keys { return &Keys{store, trails} }

// KeyDraft is a key that somebody wants. ExpiresAt is an RFC 3339 date and time, or "" for a
// year from now.
type KeyDraft struct {
	Name        string
	Permissions []Permission
	ExpiresAt   string
}

// Make makes a key of the organization and returns its text, which is nowhere else. A key can
// do no more than who makes it, or it would be a way to more.
func (k *Keys) Make(ctx context.Context, organization string, by Principal, draft KeyDraft, now time.Time) (APIKey, string, error) {
	expires, err := draft.check(now)
	if err != nil {
		return APIKey{}, "", err
	}
	for _, permission := range draft.Permissions {
		if !by.Can(permission) {
			return APIKey{}, "", Denied("a key can do no more than who makes it: this needs the permission " + string(permission))
		}
	}
	id := newKeyID(now)
	text := APIKeyPrefix + organization + "_" + id + "_" + newSecret()
	key, err := k.AddKey(ctx, APIKey{
		ID: id, Organization: organization, Name: draft.Name, Hash: HashAPIKey(text),
		Permissions: draft.Permissions, CreatedBy: by.Subject, ExpiresAt: expires,
	})
	if errors.Is(err, ErrTooManyKeys) {
		return APIKey{}, "", &Rejection{Kind: ErrUnprocessable, Detail: fmt.Sprintf("the organization has %d keys that are good: revoke one that isn't needed", MaxAPIKeys)}
	}
	if err != nil {
		return APIKey{}, "", err
	}
	// Nobody knows the text yet: if this fails the key is of no use to anybody.
	if err := k.record(ctx, "audit_log.key_created", "key-created-"+id, by, key); err != nil {
		return APIKey{}, "", err
	}
	return key, text, nil
}

// Revoke ends a key, at once for those who look it up and within a minute for those who
// remember it. To revoke it again changes nothing.
func (k *Keys) Revoke(ctx context.Context, organization, id string, by Principal) (APIKey, error) {
	key, err := k.RevokeKey(ctx, organization, id, by.Subject)
	if err != nil {
		return APIKey{}, err
	}
	return key, k.record(ctx, "audit_log.key_revoked", "key-revoked-"+id, by, key)
}

// RecordRevokedUse records that somebody still uses a revoked key, once an hour however
// often and wherever that is told: the entry's id is the hour's.
func (k *Keys) RecordRevokedUse(ctx context.Context, key APIKey, now time.Time) error {
	hour := now.UTC().Format("2006-01-02T15")
	return k.record(ctx, "audit_log.revoked_key_used", "key-used-"+key.ID+"-"+hour, Principal{Subject: "ocore-audit"}, key)
}

// record writes an entry of the service's own into the admin trail. One that is known is
// there already, whoever wrote it.
func (k *Keys) record(ctx context.Context, action, id string, by Principal, key APIKey) error {
	raw, err := json.Marshal(struct {
		ID             string `json:"id"`
		Action         string `json:"action"`
		UserID         string `json:"userId"`
		UserName       string `json:"userName,omitempty"`
		OrganizationID string `json:"organizationId"`
		Details        any    `json:"details"`
	}{id, action, by.Subject, by.Name, key.Organization, struct {
		Key         string       `json:"key"`
		Name        string       `json:"name"`
		Permissions []Permission `json:"permissions"`
		ExpiresAt   string       `json:"expiresAt"`
	}{key.ID, key.Name, key.Permissions, FormatTime(key.ExpiresAt)}})
	if err != nil {
		return fmt.Errorf("record %s: %w", action, err)
	}
	entry, err := AdmitAdmin(raw)
	if err != nil {
		return fmt.Errorf("record %s: %w", action, err)
	}
	if _, err := k.trails.recordEntry(ctx, AdminOrganization, by, entry); err != nil && !errors.Is(err, ErrConflict) {
		return fmt.Errorf("%w: record %s: %w", ErrUnavailable, action, err)
	}
	return nil
}

// check holds a draft against the rules, and returns when the key expires.
func (d KeyDraft) check(now time.Time) (time.Time, error) {
	var faults faultList
	if d.Name == "" {
		faults.malformed = true
		faults.add("/name", "is empty; say what the key is for")
	} else if detail := textFault(d.Name, maxKeyName); detail != "" {
		faults.add("/name", "%s", detail)
	}
	if len(d.Permissions) == 0 {
		faults.malformed = true
		faults.add("/permissions", "is empty; choose from %s and %s", CreateAuditLogs, ViewAuditLogs)
	}
	for i, p := range d.Permissions {
		if !slices.Contains(keyPermissions, p) || slices.Contains(d.Permissions[:i], p) {
			faults.malformed = true
			faults.add(fmt.Sprintf("/permissions/%d", i), "is none that a key can have, or stands twice; choose from %s and %s", CreateAuditLogs, ViewAuditLogs)
		}
	}
	expires := now.Add(defaultKeyLife)
	if d.ExpiresAt != "" {
		var err error
		expires, err = ParseTime(d.ExpiresAt)
		switch {
		case err != nil:
			faults.add("/expiresAt", "is not an RFC 3339 date and time such as 2026-11-23T06:05:00Z")
		case !expires.After(now) || expires.After(now.Add(maxKeyLife)):
			faults.add("/expiresAt", "must be in the future, and within two years")
		}
	}
	return expires.Truncate(time.Microsecond), faults.rejection()
}

// newKeyID sorts by time: keys are listed along their primary key.
func newKeyID(now time.Time) string {
	const timeBytes, randomBytes = 6, 4
	stamp := binary.BigEndian.AppendUint64(nil, uint64(now.UnixMilli()))[8-timeBytes:]
	random := make([]byte, randomBytes)
	rand.Read(random) // never fails
	return keyAlphabet.EncodeToString(append(stamp, random...))
}

func newSecret() string {
	random := make([]byte, sha256.Size)
	rand.Read(random)
	return keyAlphabet.EncodeToString(random)
}
