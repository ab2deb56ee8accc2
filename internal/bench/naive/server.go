// Package naive is what the service is measured against: the same endpoints as they are
// usually written, well. Every column is filtered by an index of its own, states are
// jsonb, rows are scanned into structs and encoded by encoding/json, a total is a
// count(*), a page an OFFSET, and each entry a transaction. Tokens are verified by the same
// code, once a request. Nothing in it is slow on purpose: a change that makes it faster and
// that people really write belongs here.
package naive

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/auth"
)

// AuditLog is an entry. RawMessage rather than a map spares the states a second encoding.
type AuditLog struct {
	ID           string          `json:"id"`
	Action       string          `json:"action"`
	ResourceType string          `json:"resourceType"`
	ResourceID   *string         `json:"resourceId,omitempty"`
	ResourceName *string         `json:"resourceName,omitempty"`
	UserID       *string         `json:"userId,omitempty"`
	UserName     *string         `json:"userName,omitempty"`
	IPAddress    *string         `json:"ipAddress,omitempty"`
	UserAgent    *string         `json:"userAgent,omitempty"`
	BeforeState  json.RawMessage `json:"beforeState,omitempty"`
	AfterState   json.RawMessage `json:"afterState,omitempty"`
	CreatedAt    time.Time       `json:"createdAt"`
	Number       int64           `json:"position"`
}

type page struct {
	Items   []AuditLog `json:"items"`
	Page    int        `json:"page"`
	PerPage int        `json:"perPage"`
	Total   int64      `json:"total"`
}

type server struct {
	pool     *pgxpool.Pool
	verifier *auth.Verifier
	log      *slog.Logger
}

// Serve answers until ctx ends.
//
//	GET  /audit-logs             a page with its total; total=none leaves the count out, and
//	                             before=number pages by keyset
//	POST /audit-logs             an entry in a transaction that locks its trail's head
//	POST /audit-logs/unordered   an entry numbered by a sequence, which orders nothing
func Serve(ctx context.Context, address, databaseURL string, verifier *auth.Verifier, log *slog.Logger) error {
	config, err := pgxpool.ParseConfig(databaseURL)
	if err != nil {
		return err
	}
	config.MaxConns = 12 // as many as the service's reads and writers together
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	defer pool.Close()
	s := &server{pool, verifier, log}
	routes := http.NewServeMux()
	routes.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	routes.HandleFunc("GET /audit-logs", s.authenticated(s.list))
	routes.HandleFunc("POST /audit-logs", s.authenticated(s.create(insertOrdered)))
	routes.HandleFunc("POST /audit-logs/unordered", s.authenticated(s.create(insertUnordered)))
	served := &http.Server{Addr: address, Handler: routes, ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = served.Close() })
	defer stop()
	if err := served.ListenAndServe(); ctx.Err() == nil {
		return err
	}
	return nil
}

type handler func(w http.ResponseWriter, r *http.Request, organization string) error

func (s *server) authenticated(next handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		principal, err := s.verifier.Authenticate(r.Context(), r.Header.Values("Authorization"))
		if err != nil || !principal.Can(audit.ManageAuditLogs) {
			http.Error(w, "not allowed", http.StatusUnauthorized)
			return
		}
		organization, err := principal.Organization(r.Header.Get("X-Org-Slug"))
		if err == nil {
			err = next(w, r, organization)
		}
		if err != nil {
			s.log.LogAttrs(r.Context(), slog.LevelError, "failed", slog.Any("error", err))
			http.Error(w, "failed", http.StatusInternalServerError)
		}
	}
}

const columns = `id, action, resource_type, resource_id, resource_name, user_id, user_name,
	ip_address, user_agent, before_state, after_state, created_at, number`

// where builds the conditions of a request; only what is asked for is in it, so that each
// combination has a plan of its own.
func where(r *http.Request, organization string) (string, []any) {
	text, args := " WHERE organization = $1", []any{organization}
	query := r.URL.Query()
	for _, c := range []struct{ parameter, condition string }{
		{"action", "action ="},
		{"resource_type", "resource_type ="},
		{"resource_id", "resource_id ="},
		{"user_id", "user_id ="},
		{"start_date", "created_at >="},
		{"end_date", "created_at <="},
		{"before", "number <"},
	} {
		if value := query.Get(c.parameter); value != "" {
			args = append(args, value)
			text += fmt.Sprintf(" AND %s $%d", c.condition, len(args))
		}
	}
	return text, args
}

func (s *server) list(w http.ResponseWriter, r *http.Request, organization string) error {
	conditions, args := where(r, organization)
	answer := page{Page: number(r, "page", 1), PerPage: number(r, "per_page", 20), Items: []AuditLog{}}
	if r.URL.Query().Get("total") != "none" {
		if err := s.pool.QueryRow(r.Context(), "SELECT count(*) FROM naive.audit_logs"+conditions, args...).Scan(&answer.Total); err != nil {
			return err
		}
	}
	statement := fmt.Sprintf("SELECT %s FROM naive.audit_logs%s ORDER BY number DESC LIMIT $%d OFFSET $%d", columns, conditions, len(args)+1, len(args)+2)
	rows, err := s.pool.Query(r.Context(), statement, append(args, answer.PerPage, (answer.Page-1)*answer.PerPage)...)
	if err != nil {
		return err
	}
	if answer.Items, err = pgx.CollectRows(rows, pgx.RowToStructByPos[AuditLog]); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(answer)
}

func number(r *http.Request, parameter string, otherwise int) int {
	if n, err := strconv.Atoi(r.URL.Query().Get(parameter)); err == nil && n > 0 {
		return n
	}
	return otherwise
}

const (
	insertOrdered = `WITH head AS (UPDATE naive.heads SET size = size + 1 WHERE organization = $1 RETURNING size - 1 AS number)
INSERT INTO naive.audit_logs (organization, number, id, action, resource_type, resource_id, resource_name,
	user_id, user_name, ip_address, user_agent, before_state, after_state)
SELECT $1, number, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12 FROM head RETURNING number, created_at`
	insertUnordered = `INSERT INTO naive.audit_logs (organization, number, id, action, resource_type, resource_id, resource_name,
	user_id, user_name, ip_address, user_agent, before_state, after_state)
VALUES ($1, nextval('naive.unordered'), $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING number, created_at`
)

func (s *server) create(statement string) handler {
	return func(w http.ResponseWriter, r *http.Request, organization string) error {
		var e AuditLog
		decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, audit.MaxBodyBytes))
		decoder.DisallowUnknownFields()
		if decoder.Decode(&e) != nil || e.Action == "" || e.ResourceType == "" {
			http.Error(w, "action and resourceType are required", http.StatusBadRequest)
			return nil //nolint:nilerr // it was answered
		}
		if e.ID == "" {
			e.ID = uuid.Must(uuid.NewV7()).String()
		}
		err := s.pool.QueryRow(r.Context(), statement, organization, e.ID, e.Action, e.ResourceType, e.ResourceID, e.ResourceName,
			e.UserID, e.UserName, e.IPAddress, e.UserAgent, e.BeforeState, e.AfterState).Scan(&e.Number, &e.CreatedAt)
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		return json.NewEncoder(w).Encode(e)
	}
}
