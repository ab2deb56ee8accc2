package auth

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"ocore.dev/audit/internal/audit"
)

// lookups bounds how many keys are looked up at once: whoever makes up keys must not keep
// readers from the database.
const lookups = 4

// Door authenticates calls by token or API key. Which of the two a call brings is seen before
// anything is read of it: an API key begins with "ocore_", and no token can.
type Door struct {
	tokens *Verifier
	keys   *audit.Keys
	now    func() time.Time
	log    *slog.Logger

	verified *verified
	looking  chan struct{}

	mu       sync.Mutex
	recorded map[string]time.Time // revoked keys, and the hour in which their use was recorded last
}

// NewDoor takes calls by the tokens that a verifier takes and by the keys that there are. now
// is the clock, [time.Now] but for tests.
func NewDoor(tokens *Verifier, keys *audit.Keys, now func() time.Time, log *slog.Logger) *Door {
	return &Door{
		tokens: tokens, keys: keys, now: now, log: log, verified: newVerified(), looking: make(chan struct{}, lookups),
		recorded: map[string]time.Time{},
	}
}

// Authenticate is [Verifier.Authenticate] for tokens and API keys. A key that was verified is
// remembered for a minute, so that revoking it works within that everywhere. Of keys too, the
// client learns nothing but that what it sent isn't valid. Where the keys can't be looked up
// the error is an [audit.ErrNotReady].
func (d *Door) Authenticate(ctx context.Context, authorization []string) (audit.Principal, error) {
	sent, err := bearer(authorization)
	if err != nil {
		return audit.Principal{}, err
	}
	if !strings.HasPrefix(sent, audit.APIKeyPrefix) {
		return d.tokens.Authenticate(ctx, authorization)
	}
	organization, id, ok := audit.ParseAPIKey(sent)
	if !ok {
		return audit.Principal{}, refuse(notValid, "malformed", "this is not the form of an API key")
	}
	principal, known, era := d.verified.get(sent, d.now())
	if known {
		return principal, nil
	}
	key, err := d.find(ctx, organization, id)
	switch {
	case errors.Is(err, audit.ErrNotFound):
		return audit.Principal{}, refuse(notValid, "api_key_unknown", "there is no such API key")
	case err != nil:
		return audit.Principal{}, fmt.Errorf("%w: %w", audit.ErrNotReady, err)
	}
	return d.judge(ctx, key, sent, era)
}

func (d *Door) find(ctx context.Context, organization, id string) (audit.APIKey, error) {
	select {
	case d.looking <- struct{}{}:
		defer func() { <-d.looking }()
		return d.keys.APIKey(ctx, organization, id)
	case <-ctx.Done():
		return audit.APIKey{}, ctx.Err()
	}
}

// judge holds what was sent against the key that it names.
func (d *Door) judge(ctx context.Context, key audit.APIKey, sent string, era int) (audit.Principal, error) {
	now, hash := d.now(), audit.HashAPIKey(sent)
	switch {
	case subtle.ConstantTimeCompare(hash[:], key.Hash[:]) != 1:
		return audit.Principal{}, refuse(notValid, "api_key_secret", "the API key "+key.ID+" has another secret")
	case !key.RevokedAt.IsZero():
		d.noteRevoked(ctx, key, now)
		return audit.Principal{}, refuse(notValid, "api_key_revoked", "the API key "+key.ID+" is revoked")
	case !now.Before(key.ExpiresAt):
		return audit.Principal{}, refuse(notValid, "api_key_expired", "the API key "+key.ID+" has expired")
	}
	if now.Sub(key.LastUsedAt) > verifiedTime {
		if err := d.keys.KeyUsed(ctx, key.Organization, key.ID); err != nil { // the call goes on: it is no reason to lose an entry
			d.log.LogAttrs(ctx, slog.LevelWarn, "the use of an API key couldn't be noted", slog.String("key", key.ID), slog.Any("error", err))
		}
	}
	principal := key.Principal()
	d.verified.put(sent, principal, now, key.ExpiresAt, era)
	return principal, nil
}

// noteRevoked records the use once an hour; whoever answers counts each by its reason. The map holds revoked keys whose secret
// somebody has, so it stays small.
func (d *Door) noteRevoked(ctx context.Context, key audit.APIKey, now time.Time) {
	hour := now.Truncate(time.Hour)
	d.mu.Lock()
	done := d.recorded[key.ID].Equal(hour)
	d.recorded[key.ID] = hour
	d.mu.Unlock()
	if done {
		return
	}
	if err := d.keys.RecordRevokedUse(ctx, key, now); err != nil {
		d.mu.Lock()
		delete(d.recorded, key.ID)
		d.mu.Unlock()
		d.log.LogAttrs(ctx, slog.LevelError, "the use of a revoked API key couldn't be recorded", slog.String("key", key.ID), slog.Any("error", err))
	}
}
