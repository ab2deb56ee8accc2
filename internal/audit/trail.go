package audit

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
)

// Store keeps trails. Implementations return the sentinels of errors.go, and nothing of
// an organization to calls that name another.
type Store interface {
	// Append stores a submission whole or not at all and returns once it is committed,
	// with a receipt for each entry in the order sent. [ErrConflict] names a known id
	// with other content; after [ErrUnavailable] the outcome is unknown.
	Append(ctx context.Context, s Submission) ([]Receipt, error)
	// Find fixes a state of the trail, counts what of it matches the filter, and lists
	// the positions of a part of that.
	Find(ctx context.Context, organization string, f Filter, w Window) (Found, error)
	// Newest is Find for a filter that filters nothing, and Rows of what it found, at once.
	Newest(ctx context.Context, organization string, w Window, visit func(Row)) (Found, error)
	// Rows visits entries in the order of the positions, which must exist. A row's text is good
	// until visit returns. After an error some of them may have been visited.
	Rows(ctx context.Context, organization string, positions []int64, visit func(Row)) error
	// Entry finds one entry by its id, or [ErrNotFound].
	Entry(ctx context.Context, organization, id string) (Row, error)
	// Size is how many entries the trail has.
	Size(ctx context.Context, organization string) (int64, error)
	// Matching lists the positions of the span that match the filter, descending.
	Matching(ctx context.Context, organization string, f Filter, span Span) ([]int64, error)
	// Extent fixes a state of the trail, and tells from when to when it goes.
	Extent(ctx context.Context, organization string) (Extent, error)
	// Counts counts what of the trail's first size entries matches from each of the times,
	// which ascend, until the next one, and from the last one on. None is before the first.
	Counts(ctx context.Context, organization string, f Filter, size int64, starts []time.Time) ([]int64, error)
	// CountValues counts the column's values at the positions: the limit commonest, equal ones
	// in order of their bytes, and how many there are at all.
	CountValues(ctx context.Context, organization string, c Column, positions []int64, limit int64) (counts []ValueCount, distinct int64, err error)
	// Values lists the first of the column's values that begin with prefix, in order of bytes.
	Values(ctx context.Context, organization string, c Column, prefix string, limit int64) ([]string, error)
}

// Extent is a state of a trail: its size, and the times of its first and last entry.
type Extent struct {
	Size        int64
	First, Last time.Time // zero where there is none
}

// Submission is what one call wants recorded in one trail.
type Submission struct {
	Organization string
	RecordedBy   string
	Entries      []Admitted // ids are unique within
}

// Receipt is what became of one entry of a submission.
type Receipt struct {
	ID       string
	Row      Row
	LeafHash []byte // what the trail's tree holds of it
	Existing bool   // it was known, with the same content; nothing was written
}

// AppendJSON appends what is answered for the entry: the entry, and its leaf hash, which is
// no part of it.
func (r Receipt) AppendJSON(dst []byte) []byte {
	dst = r.Row.AppendJSON(dst)
	dst = append(dst[:len(dst)-1], `,"leafHash":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, r.LeafHash)
	return append(dst, `"}`...)
}

// Service is the domain's front: every operation on trails, for callers whose
// permission was checked.
type Service struct {
	store    Store
	readings readings
	watches  watches
}

// NewService reads and writes trails through store.
func NewService(store Store) *Service { return &Service{store: store} }

// Record stores the drafts in the organization's trail, all or none.
func (s *Service) Record(ctx context.Context, organization string, by Principal, drafts []Draft) ([]Receipt, error) {
	if len(drafts) == 0 || len(drafts) > MaxBatch {
		return nil, &Rejection{Kind: ErrMalformed, Faults: []Fault{{"/items", fmt.Sprintf("takes 1 to %d entries", MaxBatch)}}}
	}
	entries, err := admitAll(drafts)
	if err != nil {
		return nil, err
	}
	return s.store.Append(ctx, Submission{organization, by.Subject, entries})
}

// RecordOne stores one draft that was a body of its own.
func (s *Service) RecordOne(ctx context.Context, organization string, by Principal, draft Draft) (Receipt, error) {
	entry, err := Admit(draft, "")
	if err != nil {
		return Receipt{}, err
	}
	return s.recordEntry(ctx, organization, by, entry)
}

// ownActions begins the actions of the entries that the service itself records in the
// admin trail; nobody else may, or they could make up an export that never was.
const ownActions = "audit_log."

// RecordAdmin stores an admin entry, an open JSON object.
func (s *Service) RecordAdmin(ctx context.Context, by Principal, raw []byte) (Receipt, error) {
	entry, err := AdmitAdmin(raw)
	if err != nil {
		return Receipt{}, err
	}
	if strings.HasPrefix(entry.Action, ownActions) {
		return Receipt{}, &Rejection{Kind: ErrUnprocessable, Faults: []Fault{{
			Pointer: "/action", Detail: "begins with " + ownActions + ", as the service's own entries do; choose another",
		}}}
	}
	return s.recordEntry(ctx, AdminOrganization, by, entry)
}

func (s *Service) recordEntry(ctx context.Context, organization string, by Principal, entry Admitted) (Receipt, error) {
	receipts, err := s.store.Append(ctx, Submission{organization, by.Subject, []Admitted{entry}})
	if err != nil {
		return Receipt{}, err
	}
	return receipts[0], nil
}

// Import stores entries of another system under their original times. They must be in
// order of time, none earlier than the trail's last entry.
func (s *Service) Import(ctx context.Context, organization string, by Principal, entries []Admitted) ([]Receipt, error) {
	return s.store.Append(ctx, Submission{organization, by.Subject, entries})
}

// Entry finds one entry of the organization's trail by its id.
func (s *Service) Entry(ctx context.Context, organization, id string) (Row, error) {
	if !ValidID(id) {
		return Row{}, ErrNotFound
	}
	return s.store.Entry(ctx, organization, id)
}

func admitAll(drafts []Draft) ([]Admitted, error) {
	var faults faultList
	entries := make([]Admitted, 0, len(drafts))
	places := make(map[string]int, len(drafts))
	for i, d := range drafts {
		at := fmt.Sprintf("/items/%d", i)
		entry, err := Admit(d, at)
		if err != nil {
			faults.merge(err)
			continue
		}
		if first, twice := places[entry.ID]; twice {
			faults.malformed = true
			faults.add(at+"/id", "is the id of /items/%d too; an id stands once in a batch", first)
		}
		places[entry.ID] = i
		entries = append(entries, entry)
	}
	return entries, faults.rejection()
}
