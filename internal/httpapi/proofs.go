package httpapi

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"ocore.dev/audit/gen/api"
	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/proof"
)

// able is the prover, if there is one.
func (h *handlers) able() (*proof.Prover, error) {
	if h.prover == nil {
		return nil, errNoSigningKey
	}
	return h.prover, nil
}

func (h *handlers) GetAuditLogProof(ctx context.Context, r api.GetAuditLogProofRequestObject) (api.GetAuditLogProofResponseObject, error) {
	return h.prove(ctx, callOf(ctx).organization, r.ID)
}

func (h *handlers) GetAdminAuditLogProof(ctx context.Context, r api.GetAdminAuditLogProofRequestObject) (api.GetAdminAuditLogProofResponseObject, error) {
	return h.prove(ctx, audit.AdminOrganization, r.ID)
}

func (h *handlers) prove(ctx context.Context, organization, id string) (*proofAnswer, error) {
	prover, err := h.able()
	if err != nil {
		return nil, err
	}
	if !audit.ValidID(id) {
		return nil, audit.ErrNotFound
	}
	proven, err := prover.Entry(ctx, organization, id)
	if err != nil {
		return nil, err
	}
	return &proofAnswer{proven}, nil
}

func (h *handlers) GetAuditLogCheckpoint(ctx context.Context, _ api.GetAuditLogCheckpointRequestObject) (api.GetAuditLogCheckpointResponseObject, error) {
	prover, err := h.able()
	if err != nil {
		return nil, err
	}
	organization := callOf(ctx).organization
	checkpoint, err := prover.Checkpoint(ctx, organization)
	if err != nil {
		return nil, emptyTrail(err)
	}
	return &documentAnswer{struct { // the generated type would shorten times
		Origin     string `json:"origin"`
		Size       int64  `json:"size"`
		Root       string `json:"root"`
		SignedAt   string `json:"signedAt"`
		Checkpoint string `json:"checkpoint"`
	}{prover.Origin(organization), checkpoint.Size, encodeHash(checkpoint.Root), audit.FormatTime(checkpoint.SignedAt), checkpoint.Note}}, nil
}

func (h *handlers) GetAuditLogConsistency(ctx context.Context, r api.GetAuditLogConsistencyRequestObject) (api.GetAuditLogConsistencyResponseObject, error) {
	prover, err := h.able()
	if err != nil {
		return nil, err
	}
	proven, err := prover.Consistency(ctx, callOf(ctx).organization, r.Params.From, number(r.Params.To))
	if err != nil {
		return nil, emptyTrail(err)
	}
	answer := api.AuditLogConsistency{From: proven.From, To: proven.To, Hashes: make([]string, len(proven.Hashes))}
	for i, hash := range proven.Hashes {
		answer.Hashes[i] = encodeHash(hash)
	}
	if proven.Checkpoint != "" {
		answer.Checkpoint = &proven.Checkpoint
	}
	return &documentAnswer{answer}, nil
}

func (h *handlers) ListAuditLogKeys(ctx context.Context, _ api.ListAuditLogKeysRequestObject) (api.ListAuditLogKeysResponseObject, error) {
	return h.keysOf(callOf(ctx).organization)
}

func (h *handlers) ListAdminAuditLogKeys(context.Context, api.ListAdminAuditLogKeysRequestObject) (api.ListAdminAuditLogKeysResponseObject, error) {
	return h.keysOf(audit.AdminOrganization)
}

func (h *handlers) keysOf(organization string) (*documentAnswer, error) {
	prover, err := h.able()
	if err != nil {
		return nil, err
	}
	keys, err := prover.Keys(organization)
	if err != nil {
		return nil, err
	}
	list := api.AuditLogKeyList{Items: make([]api.AuditLogKey, len(keys))}
	for i, key := range keys {
		list.Items[i] = api.AuditLogKey{
			Origin: key.Origin, Key: key.Key, PublicKey: encodeHash(key.Public), Algorithm: "Ed25519", Signing: key.Signing,
		}
	}
	return &documentAnswer{list}, nil
}

// emptyTrail says of a trail without entries what an entry's 404 doesn't.
func emptyTrail(err error) error {
	if errors.Is(err, audit.ErrNotFound) {
		return &audit.Rejection{Kind: audit.ErrNotFound, Detail: "the trail has no entries yet, so nothing is signed of it"}
	}
	return err
}

func encodeHash(hash []byte) string { return base64.StdEncoding.EncodeToString(hash) }

type proofAnswer struct{ proven proof.Inclusion }

func (a *proofAnswer) VisitGetAuditLogProofResponse(w http.ResponseWriter) error { return a.write(w) }

func (a *proofAnswer) VisitGetAdminAuditLogProofResponse(w http.ResponseWriter) error {
	return a.write(w)
}

func (a *proofAnswer) write(w http.ResponseWriter) error {
	body := make([]byte, 0, len(a.proven.Row.Text)+len(a.proven.Proof)+1024)
	body = a.proven.Row.AppendJSON(append(body, `{"entry":`...))
	body = audit.AppendSalts(append(body, `,"salts":`...), a.proven.Salts)
	body = audit.AppendString(append(body, `,"proof":`...), a.proven.Proof)
	return writeJSON(w, http.StatusOK, append(body, '}'))
}

// documentAnswer is an answer without entries.
type documentAnswer struct{ value any }

func (a *documentAnswer) write(w http.ResponseWriter) error {
	body, err := json.Marshal(a.value)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, body)
}

func (a *documentAnswer) VisitGetAuditLogCheckpointResponse(w http.ResponseWriter) error {
	return a.write(w)
}

func (a *documentAnswer) VisitGetAuditLogConsistencyResponse(w http.ResponseWriter) error {
	return a.write(w)
}

func (a *documentAnswer) VisitListAuditLogKeysResponse(w http.ResponseWriter) error {
	return a.write(w)
}

func (a *documentAnswer) VisitListAdminAuditLogKeysResponse(w http.ResponseWriter) error {
	return a.write(w)
}

// exportProof writes what proves an export: one bundle for all of it.
type exportProof struct {
	prover       *proof.Prover
	organization string
	positions    []int64
	checkpoint   audit.Checkpoint
}

func (h *handlers) newExportProof(organization string) (*exportProof, error) {
	prover, err := h.able()
	return &exportProof{prover: prover, organization: organization}, err
}

// fix gets the checkpoint that the proof will lead to, before anything is sent.
func (p *exportProof) fix(ctx context.Context, positions []int64) (err error) {
	if p.positions = positions; len(positions) > 0 {
		p.checkpoint, err = p.prover.Covering(ctx, p.organization, positions[0])
	}
	return err
}

// proofChunk is how many bytes of a proof are gathered before they are sent.
const proofChunk = 64 << 10

// write appends the proof to the buffer, which it sends and empties whenever it is full.
func (p *exportProof) write(ctx context.Context, buffer []byte, send func([]byte) error) ([]byte, error) {
	buffer = append(buffer, `,"proofs":[`...)
	if len(p.positions) == 0 {
		return append(buffer, ']'), nil
	}
	buffer = fmt.Appendf(buffer, `{"items":%d`, len(p.positions))
	buffer = audit.AppendString(append(buffer, `,"checkpoint":`...), p.checkpoint.Note)
	buffer = append(buffer, `,"salts":[`...)
	separate := false
	next := func(element func([]byte) []byte) (err error) {
		if separate {
			buffer = append(buffer, ',')
		}
		separate = true
		if buffer = element(buffer); len(buffer) >= proofChunk {
			err = send(buffer)
			buffer = buffer[:0]
		}
		return err
	}
	salts := func(salts []byte) error {
		return next(func(dst []byte) []byte { return audit.AppendSalts(dst, salts) })
	}
	inHashes := false
	hashes := func(hash []byte) error {
		if !inHashes {
			buffer, inHashes, separate = append(buffer, `],"hashes":[`...), true, false
		}
		return next(func(dst []byte) []byte {
			return append(base64.StdEncoding.AppendEncode(append(dst, '"'), hash), '"')
		})
	}
	if err := p.prover.Bundle(ctx, p.organization, p.checkpoint, p.positions, salts, hashes); err != nil {
		return buffer, err
	}
	if !inHashes {
		buffer = append(buffer, `],"hashes":[`...)
	}
	return append(buffer, `]}]`...), nil
}
