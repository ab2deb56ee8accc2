package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"ocore.dev/audit/gen/api"
	"ocore.dev/audit/internal/audit"
)

// ListAPIKeys implements the generated server, as do the others.
func (h *handlers) ListAPIKeys(ctx context.Context, _ api.ListAPIKeysRequestObject) (api.ListAPIKeysResponseObject, error) {
	keys, err := h.keys.APIKeys(ctx, callOf(ctx).organization)
	if err != nil {
		return nil, err
	}
	shown := make([]shownKey, len(keys))
	for i, key := range keys {
		shown[i] = showKey(key)
	}
	return &keyAnswer{http.StatusOK, struct {
		Items []shownKey `json:"items"`
	}{shown}}, nil
}

func (h *handlers) CreateAPIKey(ctx context.Context, r api.CreateAPIKeyRequestObject) (api.CreateAPIKeyResponseObject, error) {
	draft := audit.KeyDraft{Name: r.Body.Name, ExpiresAt: text(r.Body.ExpiresAt)}
	for _, permission := range r.Body.Permissions {
		draft.Permissions = append(draft.Permissions, audit.Permission(permission))
	}
	c := callOf(ctx)
	key, secret, err := h.keys.Make(ctx, c.organization, c.principal, draft, time.Now())
	if err != nil {
		return nil, err
	}
	return &keyAnswer{http.StatusCreated, struct {
		shownKey
		Key string `json:"key"`
	}{showKey(key), secret}}, nil
}

func (h *handlers) RevokeAPIKey(ctx context.Context, r api.RevokeAPIKeyRequestObject) (api.RevokeAPIKeyResponseObject, error) {
	c := callOf(ctx)
	key, err := h.keys.Revoke(ctx, c.organization, r.ID, c.principal)
	if errors.Is(err, audit.ErrNotFound) {
		return nil, &audit.Rejection{Kind: audit.ErrNotFound, Detail: "there is no such API key"}
	}
	if err != nil {
		return nil, err
	}
	return &keyAnswer{http.StatusOK, showKey(key)}, nil
}

// shownKey is a key as answers show it. The generated type's times would have as many
// fraction digits as they need, not six.
type shownKey struct {
	ID          string             `json:"id"`
	Name        string             `json:"name"`
	Permissions []audit.Permission `json:"permissions"`
	CreatedAt   string             `json:"createdAt"`
	CreatedBy   string             `json:"createdBy"`
	ExpiresAt   string             `json:"expiresAt"`
	LastUsedAt  string             `json:"lastUsedAt,omitempty"`
	RevokedAt   string             `json:"revokedAt,omitempty"`
	RevokedBy   string             `json:"revokedBy,omitempty"`
}

func showKey(k audit.APIKey) shownKey {
	return shownKey{
		ID: k.ID, Name: k.Name, Permissions: k.Permissions, CreatedAt: audit.FormatTime(k.CreatedAt), CreatedBy: k.CreatedBy,
		ExpiresAt: audit.FormatTime(k.ExpiresAt), LastUsedAt: timeOrNone(k.LastUsedAt), RevokedAt: timeOrNone(k.RevokedAt), RevokedBy: k.RevokedBy,
	}
}

func timeOrNone(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return audit.FormatTime(t)
}

// keyAnswer is any answer about keys.
type keyAnswer struct {
	status int
	value  any
}

func (a *keyAnswer) write(w http.ResponseWriter) error {
	body, err := json.Marshal(a.value)
	if err != nil {
		return err
	}
	return writeJSON(w, a.status, body)
}

func (a *keyAnswer) VisitListAPIKeysResponse(w http.ResponseWriter) error  { return a.write(w) }
func (a *keyAnswer) VisitCreateAPIKeyResponse(w http.ResponseWriter) error { return a.write(w) }
func (a *keyAnswer) VisitRevokeAPIKeyResponse(w http.ResponseWriter) error { return a.write(w) }
