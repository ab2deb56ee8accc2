package auth

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"ocore.dev/audit/internal/audit"
)

// Bounds of what is remembered of verified tokens.
const (
	maxVerified  = 4096
	verifiedTime = time.Minute
)

// verified remembers tokens that were verified, by their SHA-256: one signature costs as
// much as the rest of a request. A token is forgotten when it expires, after a minute, and
// when published keys change. Refused tokens are never remembered.
type verified struct {
	mu     sync.Mutex
	tokens *simplelru.LRU[[sha256.Size]byte, verdict]
	era    int // counts changes of keys
}

// verdict is whom a token speaks for, from when it was verified until it must be again.
type verdict struct {
	principal   audit.Principal // shared by requests, which only read it
	from, until time.Time
}

func newVerified() *verified {
	tokens, _ := simplelru.NewLRU[[sha256.Size]byte, verdict](maxVerified, nil) // fails for sizes below 1
	return &verified{tokens: tokens}
}

// get returns what is remembered, and otherwise the era that put has to name.
func (v *verified) get(compact string, now time.Time) (p audit.Principal, known bool, era int) {
	key := sha256.Sum256([]byte(compact))
	v.mu.Lock()
	defer v.mu.Unlock()
	remembered, ok := v.tokens.Get(key)
	if !ok || now.Before(remembered.from) || !now.Before(remembered.until) { // also when the clock was set back
		return audit.Principal{}, false, v.era
	}
	return remembered.principal, true, v.era
}

// forget is for when keys change.
func (v *verified) forget() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.tokens.Purge()
	v.era++
}

// put remembers a token, unless keys have changed since get: it may be one of the old.
func (v *verified) put(compact string, p audit.Principal, now, expires time.Time, era int) {
	until := now.Add(verifiedTime)
	if expires.Before(until) {
		until = expires
	}
	key := sha256.Sum256([]byte(compact))
	v.mu.Lock()
	defer v.mu.Unlock()
	if era == v.era {
		v.tokens.Add(key, verdict{p, now, until})
	}
}
