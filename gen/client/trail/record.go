package trail

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"ocore.dev/audit/gen/client"
)

// AuditLog is an entry as it is stored. States are the very text that was sent.
type AuditLog = client.AuditLog

// Receipt says where an entry of a batch is stored.
type Receipt = client.AuditLogReceipt

// Entry is an entry to record. Empty members aren't sent; Action and ResourceType are
// required. An entry takes at most 256 KiB of JSON.
type Entry struct {
	ID           string // unique in the organization: 1 to 128 of A-Z a-z 0-9 . _ ~ -
	Action       string // by convention resource.verb; to 200 bytes
	ResourceType string // to 100 bytes
	ResourceID   string // to 1,024 bytes
	ResourceName string // to 1,024 bytes
	UserID       string // to 512 bytes
	UserName     string // to 512 bytes
	IPAddress    string // to 256 bytes
	UserAgent    string // to 2,048 bytes

	// The resource before and after: JSON objects. A json.RawMessage is sent as it is, white
	// space aside; any other value as encoding/json writes it. Nil, and what is written as
	// null, isn't sent.
	BeforeState any
	AfterState  any

	OccurredAt time.Time // by your own clock; kept to the microsecond
}

// NewID makes an id for an entry: a UUID version 7. Give an entry its id yourself, and keep
// it with the entry, if you may have to record it again after an error or a restart.
func NewID() string { return uuid.Must(uuid.NewV7()).String() }

// Record stores an entry and returns it as stored. When the service has it already, it
// answers the same; an id that belongs to an entry with other content is an [ErrConflict].
// An entry without an id gets one. With an error the answer holds nothing but the id, under
// which the entry can be recorded again.
//
// Text that isn't UTF-8 is sent with U+FFFD in place of what can't be read.
func (c *Client) Record(ctx context.Context, e Entry) (AuditLog, error) {
	if e.ID == "" {
		e.ID = NewID()
	}
	content, err := encodeEntry(e)
	if err != nil {
		return AuditLog{ID: e.ID}, fmt.Errorf("trail: %w", err)
	}
	stored, err := fetch[AuditLog](ctx, c, http.StatusCreated, func() (*http.Request, error) {
		return client.NewCreateAuditLogRequestWithBody(c.base, nil, mediaType, bytes.NewReader(content))
	})
	if err != nil {
		return AuditLog{ID: e.ID}, err
	}
	return stored, nil
}

const (
	mediaType      = "application/json"
	maxBatch       = 1000
	maxBody        = 8 << 20
	batchOpen      = `{"items":[`
	batchClose     = `]}`
	itemsPointer   = "/items/"
	batchFrameSize = len(batchOpen) + len(batchClose)
)

// RecordBatch stores entries in their order and returns their receipts in the same. Up to
// 1,000 entries and 8 MiB are one request: all of it is stored, or none. More are several
// requests, one after the other; an error ends them, and the receipts returned beside it are
// of the entries that are certainly stored, the first ones. Nothing is sent when an entry
// can't be encoded. No entries are no request.
//
// Entries without an id get one in the slice itself, so that after an error the same slice
// can be recorded again: what is stored already is then an existing receipt, not a second
// entry.
func (c *Client) RecordBatch(ctx context.Context, entries []Entry) ([]Receipt, error) {
	contents := make([][]byte, len(entries))
	for i := range entries {
		if entries[i].ID == "" {
			entries[i].ID = NewID()
		}
		var err error
		if contents[i], err = encodeEntry(entries[i]); err != nil {
			return nil, fmt.Errorf("trail: entry %d: %w", i, err)
		}
	}
	receipts := make([]Receipt, 0, len(entries))
	for len(contents) > 0 {
		n := fitting(contents)
		part, err := c.recordPart(ctx, contents[:n])
		if err != nil {
			return receipts, shiftFaults(err, len(receipts))
		}
		receipts, contents = append(receipts, part...), contents[n:]
	}
	return receipts, nil
}

// fitting is how many entries fit into one request: one at least, which the service then
// answers for.
func fitting(contents [][]byte) int {
	size := batchFrameSize
	for i, content := range contents {
		size += len(content) + 1
		if i == maxBatch || i > 0 && size > maxBody {
			return i
		}
	}
	return len(contents)
}

func (c *Client) recordPart(ctx context.Context, contents [][]byte) ([]Receipt, error) {
	body := []byte(batchOpen + string(bytes.Join(contents, []byte(","))) + batchClose)
	list, err := fetch[client.AuditLogReceiptList](ctx, c, http.StatusCreated, func() (*http.Request, error) {
		return client.NewCreateAuditLogBatchRequestWithBody(c.base, nil, mediaType, bytes.NewReader(body))
	})
	if err == nil && len(list.Items) != len(contents) {
		err = fmt.Errorf("trail: the service gives %d receipts for %d entries", len(list.Items), len(contents))
	}
	return list.Items, err
}

// shiftFaults makes the pointers of a later part count along all entries.
func shiftFaults(err error, before int) error {
	var p *Problem
	if !errors.As(err, &p) {
		return err
	}
	for i, fault := range p.Faults {
		index, rest, _ := strings.Cut(strings.TrimPrefix(fault.Pointer, itemsPointer), "/")
		if n, bad := strconv.Atoi(index); bad == nil && strings.HasPrefix(fault.Pointer, itemsPointer) {
			p.Faults[i].Pointer = strings.TrimSuffix(fmt.Sprintf("%s%d/%s", itemsPointer, before+n, rest), "/")
		}
	}
	return err
}

func encodeEntry(e Entry) ([]byte, error) {
	before, err := encodeState(e.BeforeState)
	if err != nil {
		return nil, fmt.Errorf("the state before: %w", err)
	}
	after, err := encodeState(e.AfterState)
	if err != nil {
		return nil, fmt.Errorf("the state after: %w", err)
	}
	return encode(client.NewAuditLog{
		ID: optional(e.ID), Action: e.Action, ResourceType: e.ResourceType,
		ResourceID: optional(e.ResourceID), ResourceName: optional(e.ResourceName),
		UserID: optional(e.UserID), UserName: optional(e.UserName),
		IPAddress: optional(e.IPAddress), UserAgent: optional(e.UserAgent),
		BeforeState: before, AfterState: after, OccurredAt: optional(moment(e.OccurredAt)),
	})
}

func encodeState(state any) (json.RawMessage, error) {
	if state == nil {
		return nil, nil
	}
	if raw, is := state.(json.RawMessage); is && len(raw) == 0 {
		return nil, nil
	}
	text, err := encode(state)
	if err != nil || string(text) == "null" {
		return nil, err
	}
	return text, nil
}

// encode leaves <, > and & as they are: json.Marshal would rewrite them within states, which
// are kept as they were sent.
func encode(v any) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), nil
}

// optional leaves out what is empty.
func optional[T comparable](v T) *T {
	var empty T
	if v == empty {
		return nil
	}
	return &v
}

// moment is a time as parameters and entries take it; the zero time is absent.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
