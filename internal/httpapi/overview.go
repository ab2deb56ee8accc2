package httpapi

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"ocore.dev/audit/gen/api"
	"ocore.dev/audit/internal/audit"
)

func (h *handlers) GetAuditLogHistogram(ctx context.Context, r api.GetAuditLogHistogramRequestObject) (api.GetAuditLogHistogramResponseObject, error) {
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
	histogram, err := h.service.Histogram(ctx, callOf(ctx).organization, f, number(p.Buckets))
	if err != nil {
		return nil, err
	}
	return &histogramAnswer{histogram}, nil
}

func (h *handlers) ListAuditLogFacets(ctx context.Context, r api.ListAuditLogFacetsRequestObject) (api.ListAuditLogFacetsResponseObject, error) {
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
	facets, err := h.service.Facets(ctx, callOf(ctx).organization, f, columnOf(p.Field))
	if err != nil {
		return nil, err
	}
	return &facetsAnswer{facets}, nil
}

func (h *handlers) ListAuditLogValues(ctx context.Context, r api.ListAuditLogValuesRequestObject) (api.ListAuditLogValuesResponseObject, error) {
	values, err := h.service.Values(ctx, callOf(ctx).organization, columnOf(r.Params.Field), text(r.Params.Prefix))
	if err != nil {
		return nil, err
	}
	return &valuesAnswer{values}, nil
}

// columnOf is the column that a field names, the action where none is named.
func columnOf(field api.AuditLogField) audit.Column {
	switch field {
	case api.AuditLogFieldResourceType:
		return audit.ByResourceType
	case api.AuditLogFieldResourceID:
		return audit.ByResourceID
	case api.AuditLogFieldUserID:
		return audit.ByUserID
	case api.AuditLogFieldAction:
	}
	return audit.ByAction
}

type histogramAnswer struct{ audit.Histogram }

func (a *histogramAnswer) VisitGetAuditLogHistogramResponse(w http.ResponseWriter) error {
	body := make([]byte, 0, 160+80*len(a.Intervals))
	body = append(body, '{')
	for _, end := range []struct {
		name string
		at   time.Time
	}{{"start", a.Start}, {"end", a.End}} {
		if !end.at.IsZero() {
			body = append(appendTime(body, end.name, end.at), ',')
		}
	}
	body = append(body, `"items":[`...)
	for i, interval := range a.Intervals {
		if i > 0 {
			body = append(body, ',')
		}
		body = appendTime(append(body, '{'), "start", interval.Start)
		body = append(appendNumber(body, "count", interval.Count), '}')
	}
	body = appendNumber(append(body, ']'), "total", a.Total)
	return writeJSON(w, http.StatusOK, append(body, '}'))
}

func appendTime(dst []byte, name string, at time.Time) []byte {
	dst = append(append(append(dst, '"'), name...), `":"`...)
	return append(at.UTC().AppendFormat(dst, audit.TimeFormat), '"')
}

type facetsAnswer struct{ audit.Facets }

func (a *facetsAnswer) VisitListAuditLogFacetsResponse(w http.ResponseWriter) error {
	body := []byte(`{"items":[`)
	for i, facet := range a.Values {
		if i > 0 {
			body = append(body, ',')
		}
		body = audit.AppendString(append(body, `{"value":`...), facet.Value)
		body = append(appendNumber(body, "count", facet.Count), '}')
	}
	body = appendNumber(append(body, ']'), "of", a.Of)
	body = strconv.AppendBool(append(body, `,"exact":`...), a.Of == a.Total)
	body = appendNumber(appendNumber(body, "distinct", a.Distinct), "total", a.Total)
	return writeJSON(w, http.StatusOK, append(body, '}'))
}

type valuesAnswer struct{ values []string }

func (a *valuesAnswer) VisitListAuditLogValuesResponse(w http.ResponseWriter) error {
	body := []byte(`{"items":[`)
	for i, value := range a.values {
		if i > 0 {
			body = append(body, ',')
		}
		body = audit.AppendString(body, value)
	}
	return writeJSON(w, http.StatusOK, append(body, `]}`...))
}
