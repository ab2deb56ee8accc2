package proof_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/merkle"
	"ocore.dev/audit/internal/proof"
)

const prefix = "audit.ocore.dev/trails/"

// key is a signing key with a seed that everybody knows: first, first+1, …
type key struct{ first byte }

var current, next = key{0}, key{32}

func (k key) private() ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	for i := range seed {
		seed[i] = k.first + byte(i)
	}
	return ed25519.NewKeyFromSeed(seed)
}

func (k key) verifier(t testing.TB, organization string) string {
	t.Helper()
	text, err := note.NewEd25519VerifierKey(prefix+organization, k.private().Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// line is a signature line, written as c2sp.org/signed-note says.
func (k key) line(name, text string) string {
	public := k.private().Public().(ed25519.PublicKey)
	id := sha256.Sum256(slices.Concat([]byte(name+"\n\x01"), public))
	return "— " + name + " " + base64.StdEncoding.EncodeToString(append(id[:4:4], ed25519.Sign(k.private(), []byte(text))...)) + "\n"
}

// trail is a trail of which all is known. Proofs are computed as their definitions say,
// without regard to cost.
type trail struct {
	organization string
	items        []string // as the API shows them
	salts        []string
	leaves       [][]byte
	hashes       [][]byte
}

func newTrail(organization string) *trail { return &trail{organization: organization} }

// add stores an entry as the service does, under salts that are made of its place.
func (tr *trail) add(t testing.TB, entry audit.Admitted, recordedBy string, createdAt, importedAt time.Time) {
	t.Helper()
	row := audit.Row{Position: int64(len(tr.items)), CreatedAt: createdAt, Text: entry.Seal(recordedBy, importedAt)}
	var salts []string
	for _, name := range audit.Committed(tr.organization, row.Text) {
		salt := sha256.Sum256(fmt.Appendf(nil, "%s %d %s", tr.organization, row.Position, name))
		salts = append(salts, fmt.Sprintf("%q:%q", name, base64.RawURLEncoding.EncodeToString(salt[:16])))
	}
	object := "{" + strings.Join(salts, ",") + "}"
	stored, err := audit.ParseSalts([]byte(object))
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := audit.Leaf(tr.organization, createdAt, row.Text, stored)
	if err != nil {
		t.Fatal(err)
	}
	tr.items = append(tr.items, string(row.AppendJSON(nil)))
	tr.salts = append(tr.salts, object)
	tr.leaves = append(tr.leaves, leaf)
	tr.hashes = append(tr.hashes, merkle.LeafHash(leaf))
}

func (tr *trail) checkpoint(size int, keys ...key) string {
	if keys == nil {
		keys = []key{current}
	}
	origin := prefix + tr.organization
	text := fmt.Sprintf("%s\n%d\n%s\n", origin, size, base64.StdEncoding.EncodeToString(root(tr.hashes[:size])))
	signed := text + "\n"
	for _, k := range keys {
		signed += k.line(origin, text)
	}
	return signed
}

func (tr *trail) entryProof(position, size int, keys ...key) string {
	text := fmt.Sprintf("c2sp.org/tlog-proof@v1\nindex %d\n", position)
	for _, hash := range inclusion(tr.hashes[:size], position) {
		text += base64.StdEncoding.EncodeToString(hash) + "\n"
	}
	return fmt.Sprintf(`{"entry":%s,"salts":%s,"proof":%s}`, tr.items[position], tr.salts[position], quote(text+"\n"+tr.checkpoint(size, keys...)))
}

func (tr *trail) consistencyProof(from, to int) string {
	return fmt.Sprintf(`{"from":%d,"to":%d,"hashes":%s,"checkpoint":%s}`, from, to, quoteAll(consistency(tr.hashes[:to], from, true)), quote(tr.checkpoint(to)))
}

// bundle covers positions, which descend, in the tree of a size.
type bundle struct {
	positions []int
	size      int
}

func (tr *trail) export(bundles ...bundle) string {
	var items, proofs []string
	for _, b := range bundles {
		var salts []string
		for _, p := range b.positions {
			items = append(items, tr.items[p])
			salts = append(salts, tr.salts[p])
		}
		proofs = append(proofs, fmt.Sprintf(`{"items":%d,"checkpoint":%s,"salts":[%s],"hashes":%s}`, len(b.positions),
			quote(tr.checkpoint(b.size)), strings.Join(salts, ","), quoteAll(between(tr.hashes[:b.size], 0, b.positions))))
	}
	return fmt.Sprintf(`{"items":[%s],"total":%d,"proofs":[%s]}`, strings.Join(items, ","), len(items), strings.Join(proofs, ","))
}

func descending(from, to int) (positions []int) {
	for p := from; p >= to; p-- {
		positions = append(positions, p)
	}
	return positions
}

func quote(text string) string { return string(audit.AppendString(nil, text)) }

func quoteAll(hashes [][]byte) string {
	var quoted []string
	for _, hash := range hashes {
		quoted = append(quoted, quote(base64.StdEncoding.EncodeToString(hash)))
	}
	return "[" + strings.Join(quoted, ",") + "]"
}

// half is the largest power of two below n.
func half(n int) int { return 1 << (bits.Len(uint(n-1)) - 1) }

// root is MTH of RFC 6962, section 2.1.
func root(leaves [][]byte) []byte {
	switch len(leaves) {
	case 0:
		empty := sha256.Sum256(nil)
		return empty[:]
	case 1:
		return leaves[0]
	}
	k := half(len(leaves))
	parent := sha256.Sum256(slices.Concat([]byte{1}, root(leaves[:k]), root(leaves[k:])))
	return parent[:]
}

// inclusion is PATH of RFC 6962, section 2.1.1.
func inclusion(leaves [][]byte, m int) [][]byte {
	if len(leaves) == 1 {
		return nil
	}
	k := half(len(leaves))
	if m < k {
		return append(inclusion(leaves[:k], m), root(leaves[k:]))
	}
	return append(inclusion(leaves[k:], m-k), root(leaves[:k]))
}

// consistency is SUBPROOF of RFC 6962, section 2.1.2.
func consistency(leaves [][]byte, m int, known bool) [][]byte {
	if m == len(leaves) && known {
		return nil
	}
	if m == len(leaves) {
		return [][]byte{root(leaves)}
	}
	k := half(len(leaves))
	if m <= k {
		return append(consistency(leaves[:k], m, known), root(leaves[k:]))
	}
	return append(consistency(leaves[k:], m-k, false), root(leaves[:k]))
}

// between are the hashes of an export's bundle, as docs/format.md defines them.
func between(leaves [][]byte, low int, positions []int) [][]byte {
	if !slices.ContainsFunc(positions, func(p int) bool { return low <= p && p < low+len(leaves) }) {
		return [][]byte{root(leaves)}
	}
	if len(leaves) == 1 {
		return nil
	}
	k := half(len(leaves))
	return append(between(leaves[:k], low, positions), between(leaves[k:], low+k, positions)...)
}

func mustAdmit(t testing.TB, d audit.Draft) audit.Admitted {
	t.Helper()
	entry, err := audit.Admit(d, "")
	if err != nil {
		t.Fatal(err)
	}
	return entry
}

var firstTime = time.Date(2026, 11, 23, 6, 5, 0, 0, time.UTC)

// acme has entries of every kind: imported ones, one with every member, many plain ones.
func acme(t testing.TB) *trail {
	t.Helper()
	tr := newTrail("acme")
	tr.add(t, mustAdmit(t, audit.Draft{ID: "e-0", Action: "auth.login", ResourceType: "user", UserID: "u-1"}), "import",
		time.Date(2019, 2, 28, 23, 59, 59, 999_999_000, time.UTC), firstTime)
	for i := 1; i < 21; i++ {
		draft := audit.Draft{
			ID: fmt.Sprintf("e-%d", i), Action: []string{"server.created", "member.role_changed", "server.deleted"}[i%3],
			ResourceType: "server", ResourceID: fmt.Sprintf("web-%02d", i%4), UserID: "ada@acme.example",
		}
		switch i {
		case 5:
			draft = audit.Draft{ID: "e-5", Action: "a", ResourceType: "b"} // nothing but what must be
		case 11:
			draft = audit.Draft{
				ID: "e-11", Action: "server.updated", ResourceType: "server", ResourceID: "web-01", ResourceName: `Shop <front> "end"`,
				UserID: "ada@acme.example", UserName: "Ada Løvelace", IPAddress: "192.0.2.14", UserAgent: "curl/8\t\x01😀",
				BeforeState: []byte(`{"memoryGiB":4.0,"a\/b":[],"caf\u00e9":"☕"}`), AfterState: []byte(`{"memoryGiB":9007199254740993, "a/b":[1e2, null]}`),
				OccurredAt: "2026-11-23T07:04:59.123456+01:00",
			}
		case 12:
			draft.AfterState = []byte(`{"price":1.10}`)
		}
		tr.add(t, mustAdmit(t, draft), "back-office", firstTime.Add(time.Duration(i)*1_500_001*time.Microsecond), time.Time{})
	}
	return tr
}

func admin(t testing.TB) *trail {
	t.Helper()
	tr := newTrail(audit.AdminOrganization)
	for i, text := range []string{
		`{"id":"a-0","action":"a"}`,
		`{"id":"a-1","action":"org.settings_updated","userId":"grace","userName":"Grace Hopper","organizationId":"acme","details":{"from":10,"to":25.0},"ipAddress":"198.51.100.7","userAgent":"x","ticket":"SUP-1842","caf\u00e9":[1.50],"resourceType":null}`,
		`{"id":"a-2","action":"b","userId":"grace","otherMembers":{"v":1}}`,
	} {
		entry, err := audit.AdmitAdmin([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		tr.add(t, entry, "back-office", firstTime.Add(time.Duration(i)*time.Minute), time.Time{})
	}
	return tr
}

func mustKeys(t testing.TB, texts ...string) proof.Keys {
	t.Helper()
	keys, err := proof.ParseKeys(texts)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func verifyExport(text string, keys proof.Keys) (proof.Export, error) {
	return proof.VerifyExport(bytes.NewReader([]byte(text)), int64(len(text)), keys)
}
