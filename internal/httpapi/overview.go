package httpapi

import (
	"context"

	"ocore.dev/audit/gen/api"
	"ocore.dev/audit/internal/audit"
)

func (h *handlers) GetAuditLogHistogram(context.Context, api.GetAuditLogHistogramRequestObject) (api.GetAuditLogHistogramResponseObject, error) {
	return nil, audit.ErrNotReady
}

func (h *handlers) ListAuditLogFacets(context.Context, api.ListAuditLogFacetsRequestObject) (api.ListAuditLogFacetsResponseObject, error) {
	return nil, audit.ErrNotReady
}

func (h *handlers) ListAuditLogValues(context.Context, api.ListAuditLogValuesRequestObject) (api.ListAuditLogValuesResponseObject, error) {
	return nil, audit.ErrNotReady
}
