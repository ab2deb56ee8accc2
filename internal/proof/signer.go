package proof

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/merkle"
)

// Ledger is what a signer needs of the database.
type Ledger interface {
	// Unsigned lists the trails that have grown since they were signed.
	Unsigned(ctx context.Context) ([]string, error)
	// Sign keeps every other signer from the trail while decide makes the next checkpoint, of
	// size 0 for none, of what the trail is and what was signed of it last (size 0: nothing).
	// Once it returns nil the checkpoint is published.
	Sign(ctx context.Context, organization string,
		decide func(head audit.Head, newest audit.Checkpoint, tree merkle.Reader) (audit.Checkpoint, error)) error
}

// Refusal is why a trail isn't signed: the database contradicts what was signed before.
// Somebody has changed it, or restored an old copy. An operator has to look; once the database
// is again what was signed, the next round signs.
type Refusal struct {
	Organization string
	Reason       string
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("the trail of %s is not signed any more: %s", r.Organization, r.Reason)
}

// Signer signs trails that have grown. Before it signs a size it opens the newest checkpoint
// with its own keys, and proves that the trail only grew from it: who can write the database
// would otherwise just wait for the next signature. Any number may work on one database.
type Signer struct {
	ledger  Ledger
	keys    *SigningKeys
	kept    Kept // nil: nothing is kept outside of the database
	log     *slog.Logger
	keeping sync.Mutex
	refused sync.Map // organization → when it was last logged
	refusal atomic.Int64
	round   atomic.Int64 // when the last whole round ended, in Unix microseconds
}

// NewSigner signs what the ledger lists. kept may be nil.
func NewSigner(ledger Ledger, keys *SigningKeys, kept Kept, log *slog.Logger) *Signer {
	return &Signer{ledger: ledger, keys: keys, kept: kept, log: log}
}

// signPause is between looks for growth: a checkpoint is at most twice as old under load.
const signPause = 500 * time.Millisecond

// Run signs until ctx ends. Faults are logged and tried again.
func (s *Signer) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := s.Round(ctx); err != nil && ctx.Err() == nil {
			s.log.LogAttrs(ctx, slog.LevelWarn, "checkpoints were not signed; entries can't be proved meanwhile", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
		case <-time.After(signPause):
		}
	}
}

// Round signs every trail that has grown. One that is refused doesn't keep others back.
func (s *Signer) Round(ctx context.Context) error {
	organizations, err := s.ledger.Unsigned(ctx)
	if err != nil {
		return err
	}
	refused := int64(0)
	var failed []error
	for _, organization := range organizations {
		_, err := s.Sign(ctx, organization)
		var refusal *Refusal
		switch {
		case errors.As(err, &refusal):
			refused++
		case err != nil:
			failed = append(failed, err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	s.refusal.Store(refused)
	if len(failed) == 0 {
		s.round.Store(time.Now().UnixMicro())
	}
	return errors.Join(failed...)
}

// Refused is how many trails the last round refused to sign, and Signed when the last round
// without a fault ended; both are for metrics.
func (s *Signer) Refused() int64 { return s.refusal.Load() }

// Signed is when every trail had last been looked at; the zero time before.
func (s *Signer) Signed() time.Time {
	if at := s.round.Load(); at != 0 {
		return time.UnixMicro(at)
	}
	return time.Time{}
}

// Sign returns a checkpoint of what the trail is now: the newest one, or a new one when the
// trail has grown. Of an empty trail there is none: [audit.ErrNotFound]. It fails with a
// [*Refusal] when the database contradicts what was signed.
func (s *Signer) Sign(ctx context.Context, organization string) (audit.Checkpoint, error) {
	var now audit.Checkpoint
	err := s.ledger.Sign(ctx, organization, func(head audit.Head, newest audit.Checkpoint, tree merkle.Reader) (audit.Checkpoint, error) {
		t := &trail{s, organization, head, tree}
		next, err := t.next(ctx, newest)
		now = newest
		if next.Size > 0 {
			now = next
		}
		return next, err
	})
	if err != nil {
		s.alarm(ctx, err)
		return audit.Checkpoint{}, err
	}
	if now.Size == 0 {
		return now, audit.ErrNotFound
	}
	return now, s.keep(organization, now)
}

// keep takes what is published, so was seen by others or could be, out of the database.
func (s *Signer) keep(organization string, now audit.Checkpoint) error {
	if s.kept == nil {
		return nil
	}
	s.keeping.Lock() // or a call that was overtaken would put an older one back
	defer s.keeping.Unlock()
	text, err := s.kept.Newest(organization)
	if err == nil && text != now.Note && sizeOf(text) <= now.Size {
		err = s.kept.Keep(organization, now.Note)
	}
	if err != nil {
		return fmt.Errorf("keep the checkpoint of %s outside of the database: %w", organization, err)
	}
	return nil
}

// sizeOf is what a note says of its trail's size, whoever signed it; 0 if nothing.
func sizeOf(text string) int64 {
	body, _, _ := strings.Cut(text, "\n\n")
	checkpoint, _ := ParseCheckpoint(body + "\n")
	return checkpoint.Size
}

// alarmPause is between two log lines about one trail that is refused.
const alarmPause = time.Minute

func (s *Signer) alarm(ctx context.Context, err error) {
	var refusal *Refusal
	if !errors.As(err, &refusal) {
		return
	}
	last, known := s.refused.Load(refusal.Organization)
	if known && time.Since(last.(time.Time)) < alarmPause {
		return
	}
	s.refused.Store(refusal.Organization, time.Now())
	s.log.LogAttrs(ctx, slog.LevelError, "TAMPERING: a trail is not signed any more, because the database contradicts what was signed before; see docs/verifying.md",
		slog.String("organization", refusal.Organization), slog.String("reason", refusal.Reason), slog.Any("error", err))
}

// trail is one trail on its way to a signature.
type trail struct {
	*Signer
	organization string
	head         audit.Head
	tree         merkle.Reader
}

func (t *trail) refuse(format string, args ...any) error {
	return &Refusal{t.organization, fmt.Sprintf(format, args...)}
}

// next is the checkpoint to publish; of size 0 when the newest says all.
func (t *trail) next(ctx context.Context, newest audit.Checkpoint) (audit.Checkpoint, error) {
	signed, err := t.check(ctx, newest)
	if err != nil || t.head.Size == 0 {
		return audit.Checkpoint{}, err
	}
	if signed != nil && signed.Size == t.head.Size && t.keys.signedByAll(*signed) {
		return audit.Checkpoint{}, nil
	}
	note, err := t.keys.sign(Checkpoint{t.keys.Origin(t.organization), t.head.Size, t.head.Root})
	return audit.Checkpoint{Size: t.head.Size, Root: t.head.Root, Note: note, SignedAt: t.head.Now}, err
}

// check holds the trail against everything that was signed of it, and returns the newest.
func (t *trail) check(ctx context.Context, newest audit.Checkpoint) (*Signed, error) {
	outside, err := t.outside()
	if err != nil {
		return nil, err
	}
	if newest.Size == 0 {
		switch {
		case outside != nil:
			return nil, t.refuse("the database has no checkpoint of it, but one of size %d was published", outside.Size)
		case t.head.Size > 0:
			return nil, t.beginning(ctx)
		}
		return nil, nil
	}
	inside, err := t.open(newest.Note)
	if err != nil {
		return nil, t.refuse("the newest stored checkpoint is not ours: %s", err)
	}
	if inside.Size != newest.Size || !bytes.Equal(inside.Root, newest.Root) {
		return nil, t.refuse("the newest stored checkpoint of size %d stands under another size or root", inside.Size)
	}
	if err := t.grewFrom(ctx, inside); err != nil {
		return nil, err
	}
	if outside == nil {
		return inside, nil
	}
	if outside.Size > inside.Size {
		return nil, t.refuse("a checkpoint of size %d was published, and the newest stored one is of size %d: was an old copy of the database restored?", outside.Size, inside.Size)
	}
	return inside, t.grewFrom(ctx, outside)
}

// outside is what is kept outside of the database; nil when nothing is.
func (t *trail) outside() (*Signed, error) {
	if t.kept == nil {
		return nil, nil
	}
	text, err := t.kept.Newest(t.organization)
	if err != nil || text == "" {
		return nil, err
	}
	signed, err := t.open(text)
	if err != nil {
		return nil, t.refuse("the checkpoint that is kept outside of the database is not ours: %s", err)
	}
	return signed, nil
}

func (t *trail) open(text string) (*Signed, error) {
	keys, err := t.keys.Keys(t.organization)
	if err != nil {
		return nil, err
	}
	signed, err := keys.Open([]byte(text))
	return &signed, err
}

// beginning holds a trail of which nothing was signed yet against its own tiles.
func (t *trail) beginning(ctx context.Context) error {
	root, err := merkle.Root(ctx, t.tree, t.head.Size)
	if err != nil {
		return t.unread(err)
	}
	if !bytes.Equal(root, t.head.Root) {
		return t.refuse("its tiles and leaves don't have the root that its head says")
	}
	return nil
}

// grewFrom proves that the trail begins with what was signed.
func (t *trail) grewFrom(ctx context.Context, signed *Signed) error {
	if signed.Size > t.head.Size {
		return t.refuse("it has %d entries, and a checkpoint of size %d was signed: entries are gone", t.head.Size, signed.Size)
	}
	path, err := merkle.Consistency(ctx, t.tree, signed.Size, t.head.Size)
	if err != nil {
		return t.unread(err)
	}
	err = merkle.VerifyConsistency(signed.Size, t.head.Size, path, signed.Root, t.head.Root)
	switch {
	case err != nil && signed.Size == t.head.Size:
		return t.refuse("it has another root at size %d than the signed checkpoint", signed.Size)
	case err != nil:
		return t.refuse("it doesn't begin with the %d entries of the signed checkpoint", signed.Size)
	}
	return nil
}

// unread sorts a tree that has gaps from a database that doesn't answer. Reasons are shown to
// readers, so they repeat no other error.
func (t *trail) unread(err error) error {
	if errors.Is(err, audit.ErrUnavailable) || errors.Is(err, context.Canceled) {
		return err
	}
	var gap *merkle.Gap
	if !errors.As(err, &gap) {
		return fmt.Errorf("%w: %w", t.refuse("its tree can't be read"), err)
	}
	return t.refuse("its tree can't be read: %s", gap)
}
