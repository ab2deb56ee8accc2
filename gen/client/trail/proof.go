package trail

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"ocore.dev/audit/gen/client"
)

// Checkpoint is what the service signed last of a trail. Its member Checkpoint is the signed
// note: keep that where the service's operators can't reach.
type Checkpoint = client.AuditLogCheckpoint

// Key is a key that verifies checkpoints; its member Key is what verifiers take.
type Key = client.AuditLogKey

// Proof is the evidence that an entry stands in the signed trail, with every value as it is:
// a file, byte for byte as the service sent it, that "ocore-audit verify entry" checks without
// the service. An id that the organization has no entry for is an [ErrNotFound]; while nothing
// is signed for the entry, it is an [ErrUnavailable]; when the stored entry or its trail is not
// what was signed, an [ErrAltered].
func (c *Client) Proof(ctx context.Context, id string) ([]byte, error) {
	return c.proof(ctx, id, func() (*http.Request, error) { return client.NewGetAuditLogProofRequest(c.base, id, nil) })
}

// ProofAdmin is the evidence that an entry stands in the signed admin trail, as [Client.Proof] is
// of the organization's.
func (c *Client) ProofAdmin(ctx context.Context, id string) ([]byte, error) {
	return c.proof(ctx, id, func() (*http.Request, error) { return client.NewGetAdminAuditLogProofRequest(c.base, id) })
}

func (c *Client) proof(ctx context.Context, id string, ask func() (*http.Request, error)) ([]byte, error) {
	if id == "" || id == "." || id == ".." { // would be other paths
		return nil, fmt.Errorf("trail: %q is no id", id)
	}
	return fetch[json.RawMessage](ctx, c, http.StatusOK, ask)
}

// Consistency is the evidence that the trail of size from is the beginning of that of size to,
// or for 0 of the newest checkpoint's: a file that "ocore-audit verify checkpoint" takes as
// its --proof, beside the older checkpoint. The sizes must not be beyond the newest
// checkpoint's: that is an [ErrBadRequest]. A trail without entries is an [ErrNotFound].
func (c *Client) Consistency(ctx context.Context, from, to int64) ([]byte, error) {
	return fetch[json.RawMessage](ctx, c, http.StatusOK, func() (*http.Request, error) {
		return client.NewGetAuditLogConsistencyRequest(c.base, &client.GetAuditLogConsistencyParams{From: from, To: optional(to)})
	})
}

// Checkpoint is the trail's newest checkpoint. A trail without entries has none: [ErrNotFound].
func (c *Client) Checkpoint(ctx context.Context) (Checkpoint, error) {
	return fetch[Checkpoint](ctx, c, http.StatusOK, func() (*http.Request, error) {
		return client.NewGetAuditLogCheckpointRequest(c.base, nil)
	})
}

// Keys are what verifies the trail's checkpoints, those first that sign. Compare them with
// what you are told by another way.
func (c *Client) Keys(ctx context.Context) ([]Key, error) {
	return c.keys(ctx, func() (*http.Request, error) { return client.NewListAuditLogKeysRequest(c.base, nil) })
}

// KeysAdmin are what verifies the admin trail's checkpoints, as [Client.Keys] are of the organization's.
func (c *Client) KeysAdmin(ctx context.Context) ([]Key, error) {
	return c.keys(ctx, func() (*http.Request, error) { return client.NewListAdminAuditLogKeysRequest(c.base) })
}

func (c *Client) keys(ctx context.Context, ask func() (*http.Request, error)) ([]Key, error) {
	list, err := fetch[client.AuditLogKeyList](ctx, c, http.StatusOK, ask)
	return list.Items, err
}
