package httpapi_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"ocore.dev/audit/gen/client"
	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/merkle"
	"ocore.dev/audit/internal/proof"
	"ocore.dev/audit/internal/testkit"
)

// keysOf are the keys that the service shows.
func keysOf(t testing.TB, s *testkit.Service) proof.Keys {
	t.Helper()
	list := read[struct{ Items []struct{ Key string } }](t, get(t, s, ada, "/audit-logs/keys"), http.StatusOK)
	var lines []string
	for _, item := range list.Items {
		lines = append(lines, item.Key)
	}
	keys, err := proof.ParseKeys(lines)
	if err != nil || keys.Len() == 0 {
		t.Fatalf("%q: %v", lines, err)
	}
	return keys
}

func TestAnEntryIsProvenAtOnce(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	keys := keysOf(t, s)
	for n := range 3 {
		id := fmt.Sprintf("e-%d", n)
		recorded := post(t, s, ada, "/audit-logs", strings.Replace(whole, "e-1", id, 1))
		a := get(t, s, ada, "/audit-logs/entries/"+id+"/proof")
		shown, err := proof.VerifyEntry([]byte(a.body), keys)
		if err != nil || shown.ID != id || shown.Position != int64(n) || shown.Signed.Size != int64(n+1) {
			t.Fatalf("%+v, %v: %s", shown, err, a.body)
		}
		answer := read[struct{ Entry json.RawMessage }](t, a, http.StatusOK)
		if entry := get(t, s, ada, "/audit-logs/entries/"+id).body; string(answer.Entry) != entry || entry != withoutLeafHash(t, recorded.body) {
			t.Errorf("proven %s\nread   %s", answer.Entry, entry)
		}
	}
	// A proof that was given out verifies for ever, and another value never does.
	first := get(t, s, ada, "/audit-logs/entries/e-0/proof")
	if shown, err := proof.VerifyEntry([]byte(first.body), keys); err != nil || shown.Signed.Size != 3 {
		t.Errorf("%+v, %v", shown, err)
	}
	if _, err := proof.VerifyEntry([]byte(strings.Replace(first.body, "Lovelace", "Byron", 1)), keys); !errors.Is(err, proof.ErrMismatch) {
		t.Errorf("altered: %v", err)
	}
}

func TestProofsOfWhatIsNotThere(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	for _, path := range []string{"/audit-logs/checkpoint", "/audit-logs/consistency?from=1"} {
		if p := get(t, s, ada, path).problem(t, http.StatusNotFound); !strings.Contains(*p.Detail, "no entries yet") {
			t.Errorf("%s: %s", path, *p.Detail)
		}
	}
	post(t, s, ada, "/audit-logs", whole)
	missing := get(t, s, ada, "/audit-logs/entries/e-2/proof")
	foreign := get(t, s, testkit.Member("other"), "/audit-logs/entries/e-1/proof")
	if missing.problem(t, http.StatusNotFound); missing.anonymous() != foreign.anonymous() {
		t.Errorf("%s\n%s", missing.body, foreign.body)
	}
	for path, parameter := range map[string]string{
		"/audit-logs/consistency": "from", "/audit-logs/consistency?to=1": "from", "/audit-logs/consistency?from=0": "from",
		"/audit-logs/consistency?from=2": "from", "/audit-logs/consistency?from=2&to=1": "from", "/audit-logs/consistency?from=1&to=2": "to",
	} {
		if p := get(t, s, ada, path).problem(t, http.StatusBadRequest); p.Parameter == nil || *p.Parameter != parameter {
			t.Errorf("%s: %+v", path, p)
		}
	}
}

// checkpointAnswer is what GET /audit-logs/checkpoint says.
type checkpointAnswer struct {
	Origin, Root, SignedAt, Checkpoint string
	Size                               int64
}

func TestATrailIsShownToHaveOnlyGrown(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	keys := keysOf(t, s)
	var checkpoints []checkpointAnswer
	for range 5 {
		seed(t, s, numbered(3)...)
		c := read[checkpointAnswer](t, get(t, s, ada, "/audit-logs/checkpoint"), http.StatusOK)
		signed, err := keys.Open([]byte(c.Checkpoint))
		if err != nil || signed.Origin != c.Origin || signed.Size != c.Size || base64.StdEncoding.EncodeToString(signed.Root) != c.Root {
			t.Fatalf("%+v, %v", c, err)
		}
		checkpoints = append(checkpoints, c)
	}
	newest := checkpoints[len(checkpoints)-1]
	for i, from := range checkpoints {
		for _, to := range checkpoints[i:] {
			a := get(t, s, ada, fmt.Sprintf("/audit-logs/consistency?from=%d&to=%d", from.Size, to.Size))
			shown, err := proof.VerifyCheckpoints([]byte(from.Checkpoint), []byte(to.Checkpoint), []byte(a.body), keys)
			if err != nil || shown.From.Size != from.Size || shown.To.Size != to.Size {
				t.Errorf("%d to %d: %v: %s", from.Size, to.Size, err, a.body)
			}
			if has := strings.Contains(a.body, `"checkpoint"`); has != (to.Size == newest.Size) {
				t.Errorf("%d to %d has a checkpoint: %t", from.Size, to.Size, has)
			}
		}
		a := get(t, s, ada, fmt.Sprintf("/audit-logs/consistency?from=%d", from.Size))
		if _, err := proof.VerifyCheckpoints([]byte(from.Checkpoint), nil, []byte(a.body), keys); err != nil {
			t.Errorf("from %d: %v", from.Size, err)
		}
	}
}

func TestReceiptsHaveTheLeafHashAlsoAgain(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	hashIn := func(a answer) string {
		return read[struct{ LeafHash string }](t, a, http.StatusCreated).LeafHash
	}
	first := post(t, s, ada, "/audit-logs", whole)
	if again := post(t, s, ada, "/audit-logs", whole); again.body != first.body || again.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("%s\n%s", first.body, again.body)
	}
	admin := post(t, s, grace, "/admin/audit-logs", `{"id":"a","action":"a"}`)
	if again := post(t, s, grace, "/admin/audit-logs", `{"id":"a","action":"a"}`); again.body != admin.body {
		t.Errorf("%s\n%s", admin.body, again.body)
	}
	batch := post(t, s, ada, "/audit-logs/batch", `{"items":[`+whole+`,{"id":"e-2","action":"a","resourceType":"t"}]}`)
	receipts := read[struct{ Items []struct{ LeafHash string } }](t, batch, http.StatusCreated).Items
	// They are what the tree has.
	tile(t, s, ada, "/tlog/acme/checkpoint")
	tile(t, s, grace, "/tlog/_admin/checkpoint")
	bundle := tile(t, s, ada, "/tlog/acme/tile/0/000.p/2")
	for i, hash := range []string{hashIn(first), receipts[1].LeafHash} {
		if got := base64.StdEncoding.EncodeToString([]byte(bundle.body)[i*32 : i*32+32]); got != hash {
			t.Errorf("leaf %d: receipt %s, tile %s", i, hash, got)
		}
	}
	if receipts[0].LeafHash != hashIn(first) {
		t.Errorf("%s", batch.body)
	}
	if got := base64.StdEncoding.EncodeToString([]byte(tile(t, s, grace, "/tlog/_admin/tile/0/000.p/1").body)); got != hashIn(admin) {
		t.Errorf("admin: receipt %s, tile %s", hashIn(admin), got)
	}
}

func TestExportsProveThemselves(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	keys := keysOf(t, s)
	verify := func(a answer) proof.Export {
		t.Helper()
		if a.status != http.StatusOK {
			t.Fatal(a.body)
		}
		shown, err := proof.VerifyExport(strings.NewReader(a.body), int64(len(a.body)), keys)
		if err != nil {
			t.Fatalf("%v: %.300s", err, a.body)
		}
		return shown
	}
	if a := get(t, s, ada, "/audit-logs/export?with_proof=true"); !strings.HasSuffix(a.body, `"total":0,"proofs":[]}`) {
		t.Errorf("nothing: %s", a.body)
	}
	drafts := numbered(700)
	for i := range drafts {
		if i%7 == 0 {
			drafts[i].Action = "server.deleted"
		}
	}
	seed(t, s, drafts...)
	if shown := verify(get(t, s, ada, "/audit-logs/export?with_proof=true")); shown.Items != 700 || shown.RunCount != 1 || shown.Checkpoints[0].Size != 700 {
		t.Errorf("%+v", shown)
	}
	some := get(t, s, ada, "/audit-logs/export?format=json&with_proof=true&action=server.deleted")
	if shown := verify(some); shown.Items != 100 || shown.RunCount != 100 {
		t.Errorf("%+v", shown)
	}
	altered := strings.Replace(some.body, `"srv-350"`, `"srv-351"`, 1)
	if _, err := proof.VerifyExport(strings.NewReader(altered), int64(len(altered)), keys); !errors.Is(err, proof.ErrMismatch) {
		t.Errorf("altered: %v", err)
	}
	// Without it nothing changes, however it is said.
	plain := get(t, s, ada, "/audit-logs/export?action=server.deleted").body
	for _, value := range []string{"", "false"} {
		if a := get(t, s, ada, "/audit-logs/export?action=server.deleted&with_proof="+value); a.body != plain {
			t.Errorf("with_proof=%s: %.100s", value, a.body)
		}
	}
	if !strings.HasPrefix(some.body, strings.TrimSuffix(plain, "}")+`,"proofs":[{"items":100,`) {
		t.Error("the entries are others with a proof")
	}
	newest := list(t, s, grace, "/admin/audit-logs?action=audit_log.exported&limit=3").Logs
	if !bytes.Contains(newest[2], []byte(`"format":"json","count":100`)) || bytes.Contains(newest[2], []byte("withProof")) {
		t.Errorf("recorded %s", newest[2])
	}
	for _, refused := range []string{"with_proof=true&format=csv", "with_proof=1", "with_proof=True", "with_proof=yes"} {
		if p := get(t, s, ada, "/audit-logs/export?"+refused).problem(t, http.StatusBadRequest); p.Parameter == nil || *p.Parameter != "with_proof" {
			t.Errorf("%s: %+v", refused, p)
		}
	}
	if total := list(t, s, grace, "/admin/audit-logs?action=audit_log.exported").Total; total != 6 {
		t.Errorf("%d exports are recorded", total)
	}
}

func TestACutExportGoesOnWithProofs(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	keys := keysOf(t, s)
	seed(t, s, numbered(audit.MaxExport+300)...)
	first := get(t, s, ada, "/audit-logs/export?with_proof=true")
	seed(t, s, numbered(5)...)
	rest, more := next(t, s, ada, first)
	if link := first.header.Get("Link"); !more || !strings.Contains(link, "with_proof=true") {
		t.Fatalf("Link: %s", link)
	}
	for items, a := range map[int64]answer{audit.MaxExport: first, 300: rest} {
		shown, err := proof.VerifyExport(strings.NewReader(a.body), int64(len(a.body)), keys)
		if err != nil || shown.Items != items || shown.RunCount != 1 {
			t.Errorf("%+v, %v", shown, err)
		}
	}
	if shown := read[page](t, rest, http.StatusOK); shown.NextCursor != "" || rest.header.Get("Link") != "" {
		t.Errorf("it doesn't end: %v", rest.header)
	}
}

// A trail that contradicts what was signed of it is read as before, and proven no more.
func TestNothingIsProvenOfATrailThatWasTamperedWith(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	post(t, s, ada, "/audit-logs", whole)
	signed := get(t, s, ada, "/audit-logs/entries/e-1/proof")
	seed(t, s, numbered(1)...)
	super := testkit.Connect(t, s.Database.SuperuserURL)
	if _, err := super.Exec(t.Context(), "CREATE TEMP TABLE was AS SELECT root FROM heads WHERE organization = 'acme'; UPDATE heads SET root = sha256('x') WHERE organization = 'acme'"); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/audit-logs/checkpoint", "/audit-logs/consistency?from=1", "/audit-logs/export?with_proof=true"} {
		if a := get(t, s, ada, path); a.header.Get("Retry-After") != "" || a.header.Get("X-Total-Count") != "" {
			t.Errorf("%s: %v", path, a.header)
		} else if p := a.altered(t); p.Position != nil || !strings.HasPrefix(*p.Detail, "it contradicts what was signed of it, and is not signed any more: it doesn't begin with the 1 entries") {
			t.Errorf("%s: %s", path, *p.Detail)
		}
	}
	if total := list(t, s, grace, "/admin/audit-logs?action=audit_log.exported").Total; total != 0 {
		t.Errorf("%d exports that weren't are recorded", total)
	}
	if p := list(t, s, ada, "/audit-logs/export"); p.Total != 2 {
		t.Errorf("reading: %+v", p)
	}
	if _, err := proof.VerifyEntry([]byte(signed.body), keysOf(t, s)); err != nil {
		t.Errorf("what was given out: %v", err)
	}
	// Once the database is again what was signed, the same instance goes on by itself.
	if _, err := super.Exec(t.Context(), "UPDATE heads SET root = was.root FROM was WHERE heads.organization = 'acme'"); err != nil {
		t.Fatal(err)
	}
	if c := read[checkpointAnswer](t, get(t, s, ada, "/audit-logs/checkpoint"), http.StatusOK); c.Size != 2 {
		t.Errorf("mended: %+v", c)
	}
}

// altered is a problem that says that what is stored is not what was signed.
func (a answer) altered(t *testing.T) client.Problem {
	t.Helper()
	p := a.problem(t, http.StatusInternalServerError)
	if !strings.HasSuffix(p.Type, "/problems/altered") || p.Detail == nil || !strings.Contains(*p.Detail, "verify trail --deep") {
		t.Errorf("not altered: %s", a.body)
	}
	return p
}

// Whoever writes a text that is no entry's takes that page away, and nothing else: no reader's
// connection is lost over it.
func TestATextThatIsNoEntrysStarvesNobody(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	seed(t, s, numbered(20)...)
	if _, err := testkit.Connect(t, s.Database.SuperuserURL).Exec(t.Context(), "UPDATE entries SET entry = '' WHERE position = 3"); err != nil {
		t.Fatal(err)
	}
	for range 20 { // more than there are connections
		get(t, s, ada, "/audit-logs").problem(t, http.StatusInternalServerError)
	}
	if p := list(t, s, ada, "/audit-logs?per_page=10"); p.Total != 20 || len(p.Items) != 10 {
		t.Errorf("%d of %d", len(p.Items), p.Total)
	}
}

// What isn't as it was signed gives an alarm that says where, and no proof that doesn't verify.
func TestWhatWasAlteredIsNotProven(t *testing.T) {
	t.Parallel()
	var log lines
	s := testkit.ServeDatabase(t, testkit.NewDatabase(t), logTo(&log))
	receipts := seed(t, s, numbered(1000)...)
	entry := "/audit-logs/entries/" + receipts[411].ID + "/proof"
	newest := "/audit-logs/entries/" + receipts[999].ID + "/proof"
	const growth, checkpoint, export = "/audit-logs/consistency?from=700", "/audit-logs/checkpoint", "/audit-logs/export?with_proof=true&resource_id=srv-411"
	for _, path := range []string{entry, newest, growth, checkpoint, export} { // now the upper tree is kept
		if a := get(t, s, ada, path); a.status != http.StatusOK {
			t.Fatal(a.body)
		}
	}
	super := testkit.Connect(t, s.Database.SuperuserURL)
	run := func(statements string) {
		t.Helper()
		if _, err := super.Exec(t.Context(), statements); err != nil {
			t.Fatal(err)
		}
	}
	tables := []string{"entries", "entry_ids", "tiles", "checkpoints"}
	for _, table := range tables {
		run("CREATE TEMP TABLE was_" + table + " AS SELECT * FROM " + table)
	}
	const changed, between = "the stored entry is not the one that was signed", "a hash between this entry and the checkpoint"
	for _, c := range []struct{ path, tamper, says string }{
		{entry, "UPDATE entries SET entry = replace(entry, 'srv-', 'web-') WHERE position = 411", "position 411: " + changed},
		{entry, `UPDATE entries SET entry = replace(entry, '"resourceId":"srv-411",', '') WHERE position = 411`, "position 411: " + changed},
		{entry, "UPDATE entries SET entry = '' WHERE position = 411", "position 411: another entry stands where the id leads to"},
		{entry, "UPDATE entries SET created_at = created_at + interval '1 us' WHERE position = 411", "position 411: " + changed},
		{entry, "UPDATE entries SET salts = set_byte(salts, 5, get_byte(salts, 5) # 1) WHERE position = 411", "position 411: " + changed},
		{newest, "UPDATE entries SET entry = replace(entry, 'srv-', 'web-') WHERE position = 999", "position 999: " + changed},
		{entry, "UPDATE entry_ids SET position = 412 WHERE position = 411", "position 412: another entry"},
		{entry, "UPDATE tiles SET hashes = set_byte(hashes, 154 * 32, get_byte(hashes, 154 * 32) # 1) WHERE level = 0 AND index = 1", "position 411: " + between},
		{entry, "ALTER TABLE tiles DROP CONSTRAINT IF EXISTS tiles_hashes_check; UPDATE tiles SET hashes = substr(hashes, 1, 100) WHERE level = 0 AND index = 1", "position 411: hashes of its tree are missing: tile 0/1"},
		{entry, "UPDATE checkpoints SET note = replace(note, 'acme', 'acmf')", "its newest checkpoint, of size 1000, is not the one that was signed"},
		{entry, "UPDATE checkpoints SET size = size - 1", "its newest checkpoint, of size 999, is not the one that was signed: size 1000 was signed"},
		{checkpoint, "UPDATE checkpoints SET root = sha256(root)", "its newest checkpoint, of size 1000, stands under another root than was signed"},
		{checkpoint, "UPDATE checkpoints SET note = replace(note, 'acme', 'acmf')", "its newest checkpoint, of size 1000, is not the one"},
		{export, "UPDATE checkpoints SET note = replace(note, 'acme', 'acmf')", "its newest checkpoint, of size 1000, is not the one"},
		{growth, "UPDATE tiles SET hashes = set_byte(hashes, 0, get_byte(hashes, 0) # 1) WHERE level = 0 AND index = 2", "hashes of its tree between size 700 and the checkpoint of size 1000"},
		{growth, "DELETE FROM tiles WHERE level = 0 AND index = 2", "hashes of its tree are missing: tile 0/2"},
	} {
		before := len(log.String())
		run(c.tamper)
		a := get(t, s, ada, c.path)
		position, of, found := strings.Cut(strings.TrimPrefix(c.says, "position "), ": ")
		if p := a.altered(t); !strings.HasPrefix(*p.Detail, c.says) || (p.Position != nil) != (found && strings.HasPrefix(c.says, "position")) ||
			p.Position != nil && fmt.Sprint(*p.Position) != position {
			t.Errorf("%s: %s: %s", c.tamper, of, a.body)
		}
		if line := log.String()[before:]; !strings.Contains(line, "altered: the trail of acme") || !strings.Contains(line, c.says) {
			t.Errorf("%s: logged %s", c.tamper, line)
		}
		for _, table := range tables {
			run("DELETE FROM " + table + "; INSERT INTO " + table + " SELECT * FROM was_" + table)
		}
		if a := get(t, s, ada, c.path); a.status != http.StatusOK {
			t.Errorf("%s, and back: %s", c.tamper, a.body)
		}
	}
	if alarms := strings.Count(log.String(), "TAMPERING: what is stored of a trail is not what was signed"); alarms != 1 {
		t.Errorf("%d alarms in this hour", alarms)
	}
}

func TestAdminEntriesAreProven(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	list := read[struct{ Items []struct{ Key string } }](t, get(t, s, grace, "/admin/audit-logs/keys"), http.StatusOK)
	keys, err := proof.ParseKeys([]string{list.Items[0].Key})
	if err != nil {
		t.Fatal(err)
	}
	post(t, s, ada, "/audit-logs", whole)
	recorded := post(t, s, grace, "/admin/audit-logs", `{"id":"a-1","action":"a","details":{"n":1.10},"organizationId":"acme","z":[2e0]}`)
	a := get(t, s, grace, "/admin/audit-logs/entries/a-1/proof")
	shown, err := proof.VerifyEntry([]byte(a.body), keys)
	if err != nil || shown.ID != "a-1" || shown.Signed.Organization() != audit.AdminOrganization {
		t.Fatalf("%+v, %v: %s", shown, err, a.body)
	}
	if entry := read[struct{ Entry json.RawMessage }](t, a, http.StatusOK).Entry; string(entry) != withoutLeafHash(t, recorded.body) {
		t.Errorf("proven   %s\nrecorded %s", entry, recorded.body)
	}
	get(t, s, grace, "/admin/audit-logs/entries/e-1/proof").problem(t, http.StatusNotFound)
	get(t, s, ada, "/audit-logs/entries/a-1/proof").problem(t, http.StatusNotFound)
	if _, err := testkit.Connect(t, s.Database.SuperuserURL).Exec(t.Context(), "UPDATE entries SET entry = replace(entry, '1.10', '1.1') WHERE organization = '_admin'"); err != nil {
		t.Fatal(err)
	}
	if p := get(t, s, grace, "/admin/audit-logs/entries/a-1/proof").altered(t); p.Position == nil || *p.Position != 0 {
		t.Errorf("%+v", p)
	}
}

// A page that was read before somebody changed the database isn't shown any more once that was found.
func TestWhatIsFoundAlteredIsShownAsItIsStored(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	receipts := seed(t, s, numbered(40)...)
	const page = "/audit-logs?per_page=10&page=2"
	for range 4 { // now it comes from memory
		get(t, s, ada, page)
	}
	super := testkit.Connect(t, s.Database.SuperuserURL)
	for _, step := range []struct{ from, to string }{{"srv-25", "web-25"}, {"web-25", "srv-25"}} {
		if _, err := super.Exec(t.Context(), "UPDATE entries SET entry = replace(entry, '"+step.from+"', '"+step.to+"') WHERE position = 25"); err != nil {
			t.Fatal(err)
		}
		if step.to == "srv-25" {
			s.Store.Forget() // as it does by itself after a while
		} else {
			get(t, s, ada, "/audit-logs/entries/"+receipts[25].ID+"/proof").altered(t)
		}
		if a := get(t, s, ada, page); !strings.Contains(a.body, step.to) {
			t.Errorf("after %s became %s: %s", step.from, step.to, a.body)
		}
	}
}

// What was remembered of a damaged tree is forgotten when that was mended.
func TestAMendedTreeIsProvenAgain(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	receipts := seed(t, s, numbered(1000)...)
	tile(t, s, ada, "/tlog/acme/checkpoint") // the signer looks at the tree too
	super := testkit.Connect(t, s.Database.SuperuserURL)
	if _, err := super.Exec(t.Context(), "UPDATE tiles SET root = sha256(root) WHERE level = 0 AND index = 2"); err != nil {
		t.Fatal(err)
	}
	path := "/audit-logs/entries/" + receipts[411].ID + "/proof"
	get(t, s, ada, path).altered(t)
	mended, err := merkle.TileRoot(leafHashes(receipts[512:768]))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := super.Exec(t.Context(), "UPDATE tiles SET root = $1 WHERE level = 0 AND index = 2", mended); err != nil {
		t.Fatal(err)
	}
	if _, err := proof.VerifyEntry([]byte(get(t, s, ada, path).body), keysOf(t, s)); err != nil {
		t.Error(err)
	}
}

func leafHashes(receipts []audit.Receipt) (joined []byte) {
	for _, r := range receipts {
		joined = append(joined, r.LeafHash...)
	}
	return joined
}

func TestWithoutASigningKeyNothingIsProven(t *testing.T) {
	t.Parallel()
	s := testkit.NewServiceWithoutKey(t)
	post(t, s, ada, "/audit-logs", whole)
	for _, path := range []string{
		"/audit-logs/entries/e-1/proof", "/audit-logs/checkpoint", "/audit-logs/consistency?from=1", "/audit-logs/keys", "/audit-logs/export?with_proof=true",
	} {
		if p := get(t, s, ada, path).problem(t, http.StatusServiceUnavailable); !strings.Contains(*p.Detail, "signing key") {
			t.Errorf("%s: %s", path, *p.Detail)
		}
	}
	if p := tile(t, s, ada, "/tlog/acme/checkpoint").problem(t, http.StatusServiceUnavailable); !strings.Contains(*p.Detail, "signing key") {
		t.Errorf("tlog: %s", *p.Detail)
	}
	if a := get(t, s, ada, "/audit-logs/export"); a.status != http.StatusOK {
		t.Errorf("a plain export: %s", a.body)
	}
}

func TestKeysAreShown(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	type key struct {
		Origin, Key, PublicKey, Algorithm string
		Signing                           bool
	}
	list := read[struct{ Items []key }](t, get(t, s, ada, "/audit-logs/keys"), http.StatusOK)
	want, err := s.Keys.Verifiers("acme")
	if err != nil {
		t.Fatal(err)
	}
	var shown []string
	for _, key := range list.Items {
		shown = append(shown, key.Key)
		public, err := base64.StdEncoding.DecodeString(key.PublicKey)
		encoded := strings.SplitN(key.Key, "+", 3)[2]
		if err != nil || len(public) != 32 || base64.StdEncoding.EncodeToString(append([]byte{1}, public...)) != encoded ||
			key.Origin != "audit.ocore.dev/trails/acme" || key.Algorithm != "Ed25519" || !key.Signing {
			t.Errorf("%+v", key)
		}
	}
	if !slices.Equal(shown, want) {
		t.Errorf("%q, want %q", shown, want)
	}
}
