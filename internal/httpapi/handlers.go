package httpapi

import (
	"context"
	"strconv"
	"time"

	"ocore.dev/audit/gen/api"
	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/proof"
)

// handlers implements the generated server on the domain's services.
type handlers struct {
	service      *audit.Service
	keys         *audit.Keys
	prover       *proof.Prover // nil: nothing can be proved
	chunkTimeout time.Duration
	drain        <-chan struct{}
}

var _ api.StrictServerInterface = (*handlers)(nil)

func (h *handlers) ListAuditLogs(ctx context.Context, r api.ListAuditLogsRequestObject) (api.ListAuditLogsResponseObject, error) {
	p := r.Params
	f, err := exclusions{p.ExcludeAction, p.ExcludeResourceType, p.ExcludeResourceID, p.ExcludeUserID}.applyTo(audit.Filter{
		Action: p.Action, ResourceType: p.ResourceType, ResourceID: p.ResourceID, UserID: p.UserID,
	})
	if err != nil {
		return nil, err
	}
	return h.list(ctx, f, dates{p.StartDate, p.EndDate}, p.Page, int64(p.PerPage), p.Cursor)
}

func (h *handlers) ListResourceAuditLogs(ctx context.Context, r api.ListResourceAuditLogsRequestObject) (api.ListResourceAuditLogsResponseObject, error) {
	p := r.Params
	f, err := exclusions{p.ExcludeAction, p.ExcludeResourceType, p.ExcludeResourceID, p.ExcludeUserID}.applyTo(audit.Filter{
		Action: p.Action, ResourceType: p.ResourceType, ResourceID: p.ResourceID, UserID: p.UserID,
		Resource: audit.ResourceKey{Type: r.Type, ID: r.ID},
	})
	if err != nil {
		return nil, err
	}
	return h.list(ctx, f, dates{p.StartDate, p.EndDate}, p.Page, int64(p.PerPage), p.Cursor)
}

func (h *handlers) list(ctx context.Context, f audit.Filter, d dates, page, perPage int64, cursor string) (*listAnswer, error) {
	f, err := d.applyTo(f)
	if err != nil {
		return nil, err
	}
	c := callOf(ctx)
	body := newBody(`{"items":[`)
	list, err := h.service.List(ctx, c.organization, f, audit.PageRequest{Page: page, PerPage: perPage, Cursor: cursor}, body.add)
	if err != nil {
		body.free()
		return nil, err
	}
	return &listAnswer{body: body, list: list, next: nextLink(c.path, list.Next, "per_page", strconv.FormatInt(perPage, 10))}, nil
}

func (h *handlers) ListAdminAuditLogs(ctx context.Context, r api.ListAdminAuditLogsRequestObject) (api.ListAdminAuditLogsResponseObject, error) {
	p := r.Params
	limit := number(p.Limit)
	f, err := exclusions{action: p.ExcludeAction}.applyTo(audit.Filter{Action: p.Action, Search: text(p.Search)})
	if err != nil {
		return nil, err
	}
	body := newBody(`{"logs":[`)
	list, err := h.service.List(ctx, audit.AdminOrganization, f,
		audit.PageRequest{Page: p.Page, PerPage: limit, Cursor: p.Cursor}, body.add)
	if err != nil {
		body.free()
		return nil, err
	}
	return &adminListAnswer{body: body, list: list, next: nextLink(callOf(ctx).path, list.Next, "limit", strconv.FormatInt(limit, 10))}, nil
}

func (h *handlers) GetAuditLog(ctx context.Context, r api.GetAuditLogRequestObject) (api.GetAuditLogResponseObject, error) {
	row, err := h.service.Entry(ctx, callOf(ctx).organization, r.ID)
	if err != nil {
		return nil, err
	}
	return &entryAnswer{row: row}, nil
}

func (h *handlers) CreateAuditLog(ctx context.Context, r api.CreateAuditLogRequestObject) (api.CreateAuditLogResponseObject, error) {
	c := callOf(ctx)
	receipt, err := h.service.RecordOne(ctx, c.organization, c.principal, draftFrom(*r.Body))
	if err != nil {
		return nil, err
	}
	return &recordedAnswer{receipt}, nil
}

func (h *handlers) CreateAuditLogBatch(ctx context.Context, r api.CreateAuditLogBatchRequestObject) (api.CreateAuditLogBatchResponseObject, error) {
	c := callOf(ctx)
	drafts := make([]audit.Draft, len(r.Body.Items))
	for i, item := range r.Body.Items {
		drafts[i] = draftFrom(item)
	}
	receipts, err := h.service.Record(ctx, c.organization, c.principal, drafts)
	if err != nil {
		return nil, err
	}
	return &receiptsAnswer{receipts}, nil
}

func (h *handlers) CreateAdminAuditLog(ctx context.Context, r api.CreateAdminAuditLogRequestObject) (api.CreateAdminAuditLogResponseObject, error) {
	receipt, err := h.service.RecordAdmin(ctx, callOf(ctx).principal, *r.Body)
	if err != nil {
		return nil, err
	}
	return &recordedAnswer{receipt}, nil
}

func (h *handlers) ExportAuditLogs(ctx context.Context, r api.ExportAuditLogsRequestObject) (api.ExportAuditLogsResponseObject, error) {
	c := callOf(ctx)
	if !c.framed {
		return nil, errHTTPVersion
	}
	p := r.Params
	f, err := exclusions{p.ExcludeAction, p.ExcludeResourceType, p.ExcludeResourceID, p.ExcludeUserID}.applyTo(audit.Filter{
		Action: p.Action, ResourceType: p.ResourceType, ResourceID: p.ResourceID, UserID: p.UserID,
	})
	if err != nil {
		return nil, err
	}
	if f, err = (dates{p.StartDate, p.EndDate}).applyTo(f); err != nil {
		return nil, err
	}
	format := text(p.Format)
	if format == "" {
		format = string(api.ExportFormatJSON)
	}
	request := audit.ExportRequest{Filter: f, Cursor: p.Cursor, Format: format}
	answer := &exportAnswer{context: ctx, form: exportForms[format]}
	if p.WithProof != nil && *p.WithProof {
		if format == string(api.ExportFormatCsv) {
			return nil, audit.BadParameter("with_proof", "a CSV doesn't hold values as they were recorded, so it can't be proved; leave out with_proof, or take format=json")
		}
		if answer.proof, err = h.newExportProof(c.organization); err != nil {
			return nil, err
		}
		request.Prove = answer.proof.fix
	}
	if answer.export, err = h.service.Export(ctx, c.organization, c.principal, request); err != nil {
		return nil, err
	}
	if answer.first = answer.read(ctx, answer.form.open(nil)); answer.first.err != nil { // before the header, so that a failure is still a problem
		return nil, answer.first.err
	}
	answer.next = nextLink(c.path, answer.export.Next, "format", text(p.Format), "with_proof", flag(p.WithProof))
	answer.timeout = h.chunkTimeout
	return answer, nil
}

func draftFrom(n api.NewAuditLog) audit.Draft {
	return audit.Draft{
		ID: text(n.ID), Action: n.Action, ResourceType: n.ResourceType,
		ResourceID: text(n.ResourceID), ResourceName: text(n.ResourceName),
		UserID: text(n.UserID), UserName: text(n.UserName),
		IPAddress: text(n.IPAddress), UserAgent: text(n.UserAgent),
		BeforeState: n.BeforeState, AfterState: n.AfterState, OccurredAt: text(n.OccurredAt),
	}
}

// dates are the two date parameters as sent.
type dates struct{ start, end string }

func (d dates) applyTo(f audit.Filter) (audit.Filter, error) {
	if d == (dates{}) {
		return f, nil
	}
	return f.Between(d.start, d.end)
}

// exclusions are the four lists of what to leave out, as sent.
type exclusions struct{ action, resourceType, resourceID, userID []string }

func (e exclusions) applyTo(f audit.Filter) (audit.Filter, error) {
	if len(e.action)+len(e.resourceType)+len(e.resourceID)+len(e.userID) == 0 {
		return f, nil
	}
	f.ExcludeAction, f.ExcludeResourceType = audit.NewValues(e.action...), audit.NewValues(e.resourceType...)
	f.ExcludeResourceID, f.ExcludeUserID = audit.NewValues(e.resourceID...), audit.NewValues(e.userID...)
	return f, f.CheckExcluded()
}

func text[T ~string](value *T) string {
	if value == nil {
		return ""
	}
	return string(*value)
}

// flag is a parameter that says yes or no, as links repeat it.
func flag(value *bool) string {
	if value == nil {
		return ""
	}
	return strconv.FormatBool(*value)
}

func number[T ~int32 | ~int64](value *T) int64 {
	if value == nil {
		return 0
	}
	return int64(*value)
}
