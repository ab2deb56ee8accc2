package audit

import (
	"context"
	"encoding/json"
	"fmt"
)

// MaxExport is the most entries that one export holds; a cursor goes on from there.
const MaxExport = 10_000

// An export holds so many entries in memory at once: few until it is seen how large they
// are, then about half a megabyte of them, and at their largest 16 MiB. While a reader takes
// one chunk, the next is read.
const (
	firstChunk   = 64
	chunkEntries = 1024
	chunkBytes   = 512 << 10
)

// Export is a reading of up to [MaxExport] entries, newest first, from one state of the
// trail, in chunks.
type Export struct {
	Total int64  // entries that match; from the cursor on, when continuing
	Count int    // entries in this export
	Next  string // cursor of the rest, "" when nothing was cut

	service      *Service
	organization string
	positions    []int64
	chunk        int // entries of the next one
}

// ExportRequest says what is exported, and how.
type ExportRequest struct {
	Filter Filter
	Cursor string
	Format string
	// Prove, if set, makes ready what proves the entries at these positions, newest first. It is
	// called before the export is recorded, and its error is the export's.
	Prove func(ctx context.Context, positions []int64) error
}

// Export begins an export. It is recorded in the admin trail before this returns; when
// that fails, so does the export.
func (s *Service) Export(ctx context.Context, organization string, by Principal, r ExportRequest) (*Export, error) {
	walk, err := begin(organization, r.Filter, r.Cursor)
	if err != nil {
		return nil, err
	}
	found, err := s.store.Find(ctx, organization, walk.Filter, Window{Size: walk.Size, Below: walk.Before, RestOnly: true, Limit: MaxExport})
	if err != nil {
		return nil, err
	}
	if found.Size < walk.Size {
		return nil, errCursor
	}
	export := &Export{Total: found.Total, Count: len(found.Positions), service: s, organization: organization, positions: found.Positions, chunk: firstChunk}
	if export.Total > int64(export.Count) {
		export.Next = walk.after(found, int64(export.Count))
	}
	if r.Prove != nil {
		if err := r.Prove(ctx, found.Positions); err != nil {
			return nil, err
		}
	}
	r.Filter = walk.Filter
	return export, s.recordExport(ctx, organization, by, r, export)
}

// Chunk visits the next entries and returns how many there were, none at the end. A row's text
// is good until visit returns; after an error what was visited of the chunk is void.
func (e *Export) Chunk(ctx context.Context, visit func(Row)) (int, error) {
	chunk := e.positions[:min(e.chunk, len(e.positions))]
	e.positions = e.positions[len(chunk):]
	if len(chunk) == 0 {
		return 0, nil
	}
	size := 0
	err := e.service.store.Rows(ctx, e.organization, chunk, func(row Row) {
		size += len(row.Text)
		visit(row)
	})
	e.chunk = nextChunk(len(chunk), size)
	return len(chunk), err
}

// nextChunk is how many entries to read next, if they are as large as those of this one.
func nextChunk(entries, size int) int {
	return min(max(firstChunk, entries*chunkBytes/(size+1)), chunkEntries)
}

// recordExport writes who took what out of the trail.
func (s *Service) recordExport(ctx context.Context, organization string, by Principal, r ExportRequest, e *Export) error {
	return s.recordOwn(ctx, "audit_log.exported", organization, by, struct {
		Filter    Filter `json:"filter"`
		Format    string `json:"format"`
		WithProof bool   `json:"withProof,omitempty"`
		Count     int    `json:"count"`
		Total     int64  `json:"total"`
	}{r.Filter, r.Format, r.Prove != nil, e.Count, e.Total})
}

// recordOwn writes an entry of the service's own into the admin trail. Whatever keeps it from
// that is an [ErrUnavailable]: what can't be recorded isn't done.
func (s *Service) recordOwn(ctx context.Context, action, organization string, by Principal, details any) error {
	raw, err := json.Marshal(struct {
		Action         string `json:"action"`
		UserID         string `json:"userId"`
		UserName       string `json:"userName,omitempty"`
		OrganizationID string `json:"organizationId"`
		Details        any    `json:"details"`
	}{action, by.Subject, by.Name, organization, details})
	if err != nil {
		return fmt.Errorf("record %s: %w", action, err)
	}
	admitted, err := AdmitAdmin(raw)
	if err != nil {
		return fmt.Errorf("record %s: %w", action, err)
	}
	if _, err = s.recordEntry(ctx, AdminOrganization, by, admitted); err != nil {
		return fmt.Errorf("%w: record %s: %w", ErrUnavailable, action, err)
	}
	return nil
}
