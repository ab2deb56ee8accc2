package trail

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"time"

	"ocore.dev/audit/gen/client"
)

// AdminEntry is an entry to record in the platform's admin trail. Empty members aren't sent;
// Action is required, and can't begin with "audit_log.". An entry takes at most 256 KiB of
// JSON.
type AdminEntry struct {
	ID             string // unique in the admin trail: 1 to 128 of A-Z a-z 0-9 . _ ~ -
	Action         string // by convention resource.verb; to 200 bytes
	UserID         string // to 512 bytes
	UserName       string // to 512 bytes
	OrganizationID string // that it was done to; to 64 bytes
	Details        any    // a JSON object, sent as a state of [Entry] is
	IPAddress      string // to 256 bytes
	UserAgent      string // to 2,048 bytes

	// Members of your own, under other names than those above. Values are written as states are,
	// and may be anything that JSON has.
	Others map[string]any
}

// AdminAuditLog is an entry of the admin trail as it is stored. Members that it doesn't have
// are empty.
type AdminAuditLog struct {
	ID             string
	Action         string
	UserID         string
	UserName       string
	OrganizationID string
	Details        json.RawMessage // the very text that was sent
	IPAddress      string
	UserAgent      string
	CreatedAt      time.Time
	Position       int64
	RecordedBy     string
	LeafHash       string // in the answer to recording alone

	Others map[string]json.RawMessage // the members of its author's own, each the very text that was sent
}

// UnmarshalJSON takes members by their exact names: an open object may also have one that
// differs in letter case alone. The generated type would round the numbers of the others.
func (a *AdminAuditLog) UnmarshalJSON(text []byte) error {
	*a = AdminAuditLog{}
	if err := json.Unmarshal(text, &a.Others); err != nil {
		return err
	}
	for name, into := range map[string]any{
		"id": &a.ID, "action": &a.Action, "userId": &a.UserID, "userName": &a.UserName, "organizationId": &a.OrganizationID,
		"details": &a.Details, "ipAddress": &a.IPAddress, "userAgent": &a.UserAgent,
		"createdAt": &a.CreatedAt, "position": &a.Position, "recordedBy": &a.RecordedBy, "leafHash": &a.LeafHash,
	} {
		if member, has := a.Others[name]; has {
			if err := json.Unmarshal(member, into); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			delete(a.Others, name)
		}
	}
	return nil
}

// AdminFilter chooses entries of the admin trail, as [Filter] does.
type AdminFilter struct {
	Action string
	Search string // in the action or anywhere in the details, in any letter case
}

// AdminAuditLogList is a page of the admin trail, newest first. Total counts what matches on
// all pages, exactly; NextCursor is empty at the end.
type AdminAuditLogList struct {
	Logs       []AdminAuditLog `json:"logs"`
	Total      int64           `json:"total"`
	NextCursor string          `json:"nextCursor"`
}

// RecordAdmin stores an entry in the admin trail, as [Client.Record] does in the
// organization's.
func (c *Client) RecordAdmin(ctx context.Context, e AdminEntry) (AdminAuditLog, error) {
	if e.ID == "" {
		e.ID = NewID()
	}
	content, err := encodeAdmin(e)
	if err != nil {
		return AdminAuditLog{ID: e.ID}, fmt.Errorf("trail: %w", err)
	}
	stored, err := fetch[AdminAuditLog](ctx, c, http.StatusCreated, func() (*http.Request, error) {
		return client.NewCreateAdminAuditLogRequestWithBody(c.base, mediaType, bytes.NewReader(content))
	})
	if err != nil {
		return AdminAuditLog{ID: e.ID}, err
	}
	return stored, nil
}

// ListAdmin reads one page of the admin trail, as [Client.List] does of the organization's.
func (c *Client) ListAdmin(ctx context.Context, f AdminFilter, p Page) (AdminAuditLogList, error) {
	return fetch[AdminAuditLogList](ctx, c, http.StatusOK, func() (*http.Request, error) {
		return client.NewListAdminAuditLogsRequest(c.base, &client.ListAdminAuditLogsParams{
			Page: optional(p.Number), Limit: optional(p.Size), Cursor: optional(p.Cursor),
			Action: optional(f.Action), Search: optional(f.Search),
		})
	})
}

// adminWalkPage is the most that a page of the admin trail can have.
const adminWalkPage = 100

// WalkAdmin goes along all entries of the admin trail that match, as [Client.Walk] does along
// the organization's. Up to 100 entries are in memory.
func (c *Client) WalkAdmin(ctx context.Context, f AdminFilter) iter.Seq2[AdminAuditLog, error] {
	return walk(func(cursor string) ([]AdminAuditLog, int64, *string, error) {
		list, err := c.ListAdmin(ctx, f, Page{Size: adminWalkPage, Cursor: cursor})
		return list.Logs, list.Total, &list.NextCursor, err
	})
}

func encodeAdmin(e AdminEntry) ([]byte, error) {
	details, err := encodeState(e.Details)
	if err != nil {
		return nil, fmt.Errorf("the details: %w", err)
	}
	members := maps.Clone(e.Others)
	if members == nil {
		members = map[string]any{}
	}
	for _, named := range []struct {
		name  string
		value any
		empty bool
	}{
		{"id", e.ID, e.ID == ""},
		{"action", e.Action, false},
		{"userId", e.UserID, e.UserID == ""},
		{"userName", e.UserName, e.UserName == ""},
		{"organizationId", e.OrganizationID, e.OrganizationID == ""},
		{"details", details, details == nil},
		{"ipAddress", e.IPAddress, e.IPAddress == ""},
		{"userAgent", e.UserAgent, e.UserAgent == ""},
	} {
		if _, double := members[named.name]; double {
			return nil, fmt.Errorf("%s is no member of your own: it has a field", named.name)
		}
		if !named.empty {
			members[named.name] = named.value
		}
	}
	return encode(members)
}
