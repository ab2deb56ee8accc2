package trail_test

import (
	"bytes"
	"errors"
	"testing"

	"ocore.dev/audit/gen/client/trail"
	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/proof"
	"ocore.dev/audit/internal/testkit"
)

func TestWhatIsProvenVerifies(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	c := direct(t, s, ada)
	if _, err := c.Checkpoint(t.Context()); !errors.Is(err, trail.ErrNotFound) {
		t.Errorf("an empty trail: %v", err)
	}
	list, err := c.Keys(t.Context())
	if err != nil || len(list) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	keys, err := proof.ParseKeys([]string{list[0].Key})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, s, 10)
	older, err := c.Checkpoint(t.Context())
	if err != nil || older.Size != 10 {
		t.Fatalf("%+v, %v", older, err)
	}
	stored, err := c.Record(t.Context(), login("ada"))
	if err != nil || stored.LeafHash == nil {
		t.Fatalf("%+v, %v", stored, err)
	}
	_, url := between(t, s, dropped, halved, refuses(503))
	file, err := connect(t, url, ada).Proof(t.Context(), stored.ID)
	if err != nil {
		t.Fatal(err)
	}
	if shown, err := proof.VerifyEntry(file, keys); err != nil || shown.Position != stored.Position || shown.Signed.Size != 11 {
		t.Errorf("%+v, %v", shown, err)
	}
	for _, to := range []int64{0, 11} {
		path, err := c.Consistency(t.Context(), older.Size, to)
		if err != nil {
			t.Fatal(err)
		}
		if shown, err := proof.VerifyCheckpoints([]byte(older.Checkpoint), nil, path, keys); err != nil || shown.To.Size != 11 {
			t.Errorf("%+v, %v", shown, err)
		}
	}
	_, unknown := c.Proof(t.Context(), "unknown")
	_, beyond := c.Consistency(t.Context(), 1, 12)
	if _, none := c.Proof(t.Context(), ".."); none == nil || !errors.Is(unknown, trail.ErrNotFound) || !errors.Is(beyond, trail.ErrBadRequest) {
		t.Errorf("%v, %v, %v", none, unknown, beyond)
	}
}

func TestExportsWithProofVerifyAlsoWhenTheyAreJoined(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	fill(t, s, 10_003)
	c := direct(t, s, ada)
	list, err := c.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keys, err := proof.ParseKeys([]string{list[0].Key})
	if err != nil {
		t.Fatal(err)
	}
	_, url := between(t, s, dropped, pass, refuses(503))
	var whole bytes.Buffer
	if err := connect(t, url, ada).ExportAllWithProof(t.Context(), trail.Filter{}, &whole); err != nil {
		t.Fatal(err)
	}
	shown, err := proof.VerifyExport(bytes.NewReader(whole.Bytes()), int64(whole.Len()), keys)
	if err != nil || shown.Items != 10_003 || shown.RunCount != 1 || shown.Runs[0] != (proof.Run{First: 0, Last: 10_002}) {
		t.Errorf("%+v, %v", shown, err)
	}
	part, err := c.ExportWithProof(t.Context(), trail.Filter{UserID: "nobody"})
	if err != nil {
		t.Fatal(err)
	}
	defer part.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(part); err != nil || !bytes.HasSuffix(text.Bytes(), []byte(`"proofs":[]}`)) {
		t.Errorf("%s, %v", text.Bytes(), err)
	}
	var empty bytes.Buffer
	if err := c.ExportAllWithProof(t.Context(), trail.Filter{UserID: "nobody"}, &empty); err != nil || empty.String() != "{\"items\":[\n],\"total\":0,\"proofs\":[]}\n" {
		t.Errorf("%q, %v", empty.String(), err)
	}
}

func TestAdminEntriesAreProven(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	c := direct(t, s, testkit.Operator())
	stored, err := c.RecordAdmin(t.Context(), trail.AdminEntry{Action: "a", Others: map[string]any{"ticket": 1.5}})
	if err != nil {
		t.Fatal(err)
	}
	list, err := c.KeysAdmin(t.Context())
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	keys, err := proof.ParseKeys([]string{list[0].Key})
	if err != nil {
		t.Fatal(err)
	}
	file, err := connect(t, s.URL, testkit.Operator()).ProofAdmin(t.Context(), stored.ID)
	if err != nil {
		t.Fatal(err)
	}
	if shown, err := proof.VerifyEntry(file, keys); err != nil || shown.ID != stored.ID || shown.Signed.Organization() != audit.AdminOrganization {
		t.Errorf("%+v, %v", shown, err)
	}
}
