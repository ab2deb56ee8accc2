package httpapi_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/proof"
	"ocore.dev/audit/internal/testkit"
)

// Ten thousand proofs, of a trail that goes on growing between them, verify by our own
// verifier, which has the keys alone, and by Go's checksum database's, which knows nothing of
// entries and takes the leaf hashes that the receipts said.
func TestTenThousandProofsVerify(t *testing.T) {
	t.Parallel()
	const (
		stages  = 5
		growth  = 4_111 // so that sizes are no whole number of tiles
		proofs  = 2_000 // of each stage
		callers = 8
	)
	s := testkit.NewService(t)
	v := &proofsVerifier{url: s.URL, token: testkit.Token(t, ada), keys: keysOf(t, s)}
	v.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers}} // not the checker's, which takes longer than the service
	defer v.client.CloseIdleConnections()
	lines, err := s.Keys.Verifiers("acme")
	if err != nil {
		t.Fatal(err)
	}
	if v.key, err = note.NewVerifier(lines[0]); err != nil {
		t.Fatal(err)
	}
	var receipts []audit.Receipt
	random := rand.New(rand.NewPCG(1, 1))
	for stage := range stages {
		receipts = append(receipts, seed(t, s, numbered(growth)...)...)
		size := read[checkpointAnswer](t, get(t, s, ada, "/audit-logs/checkpoint"), http.StatusOK).Size
		if size != int64(len(receipts)) {
			t.Fatalf("stage %d: the checkpoint is of %d entries of %d", stage, size, len(receipts))
		}
		drawn := random.Perm(len(receipts))[:proofs]
		var calling errgroup.Group
		for caller := range callers {
			calling.Go(func() error {
				for i := caller; i < len(drawn); i += callers {
					if err := v.verify(receipts[drawn[i]], size); err != nil {
						return fmt.Errorf("position %d of %d: %w", drawn[i], size, err)
					}
				}
				return nil
			})
		}
		if err := calling.Wait(); err != nil {
			t.Fatalf("stage %d: %v", stage, err)
		}
	}
}

type proofsVerifier struct {
	client     *http.Client
	url, token string
	keys       proof.Keys
	key        note.Verifier
}

func (v *proofsVerifier) verify(receipt audit.Receipt, size int64) error {
	request, err := http.NewRequest(http.MethodGet, v.url+"/audit-logs/entries/"+receipt.ID+"/proof", http.NoBody)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+v.token)
	response, err := v.client.Do(request)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil || response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %w: %s", response.Status, err, body)
	}
	shown, err := proof.VerifyEntry(body, v.keys)
	if err != nil || shown.ID != receipt.ID || shown.Position != receipt.Row.Position || shown.Signed.Size != size {
		return fmt.Errorf("%+v, %w: %s", shown, err, body)
	}
	return v.verifyByOthers(body, receipt)
}

// verifyByOthers checks the same file with golang.org/x/mod alone.
func (v *proofsVerifier) verifyByOthers(body []byte, receipt audit.Receipt) error {
	var answer struct{ Proof string }
	if err := json.Unmarshal(body, &answer); err != nil {
		return err
	}
	head, checkpoint, _ := strings.Cut(answer.Proof, "\n\n")
	opened, err := note.Open([]byte(checkpoint), note.VerifierList(v.key))
	if err != nil {
		return err
	}
	tree, err := tlog.ParseTree([]byte("go.sum database tree" + strings.TrimPrefix(opened.Text, v.key.Name())))
	if err != nil {
		return err
	}
	lines := strings.Split(head, "\n")
	if lines[1] != fmt.Sprintf("index %d", receipt.Row.Position) {
		return fmt.Errorf("%s", lines[1])
	}
	var path tlog.RecordProof
	for _, line := range lines[2:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return err
		}
		path = append(path, hash)
	}
	return tlog.CheckRecord(path, tree.N, tree.Hash, receipt.Row.Position, tlog.Hash(receipt.LeafHash))
}
