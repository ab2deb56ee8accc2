package audit_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"ocore.dev/audit/internal/audit"
)

// leafVector is a leaf written out in full. Whoever verifies a trail may rely on these:
// a change here breaks every proof that was ever given.
type leafVector struct {
	name, organization, createdAt string
	text                          string
	leaf                          string
	hash                          string // SHA-256 of a zero byte and the leaf (RFC 6962)
}

// The values were computed by a program in another language, under the salts of fixedSalts.
var leafVectors = []leafVector{
	{
		name: "every member", organization: "acme", createdAt: "2026-11-23T06:05:00.000000Z",
		text: `{"id":"e-1","action":"server.updated","resourceType":"server","resourceId":"web-01","resourceName":"Shop <front> \"end\"","userId":"ada@acme.example","userName":"Ada Løvelace","ipAddress":"192.0.2.14","userAgent":"curl/8\t\u0001","beforeState":{"memoryGiB":4.0,"a\/b":[]},"afterState":{"memoryGiB":9007199254740993},"occurredAt":"2026-11-23T06:05:00.123456Z","recordedBy":"back-office"}`,
		leaf: `{"action":"server.updated","afterState":"IymDFXsZ1jQ9bcQPx9dFNxHxG7rBU62M7w061RGcXS4","beforeState":"8y-IabtDsET21MPICSDFh3PxbnBWiiK-tdVsNToplDk","createdAt":"2026-11-23T06:05:00.000000Z","id":"e-1","ipAddress":"WHKDwcMHsg3AuvGeIyPgt9rvEHn3AncBDdGTXUz-jYU","occurredAt":"2026-11-23T06:05:00.123456Z","organization":"acme","recordedBy":"-RQIV7F8bA17yqYNpb7XhGnCfHuqCwxrjynroVVHt4Q","resourceId":"SS-ZLUcrJF4MtfY4bJ3lD27yG43ZUoA_SzS9t-nrSpc","resourceName":"FkKoGtb3Jli2eI5OwFMgJWSSMDp9yd4IZ7CChOrFBRg","resourceType":"server","userAgent":"KCAMBtpU4tetNC-ylOeJs5-fb_MlINSZPDaTIOWXMg4","userId":"ss7yX7lK0GETXbMdog5stc7cChB4eORbIXH5GejacD8","userName":"kUtqDbR9mAxu2x7lxox3As6PemK36Y4cQVwx72FAOZc","v":1}`,
		hash: "6fdf743ee03ddc2b1d29a201a482edfaa8edd940a8d9088056b4f0fbe0a8b0c7",
	},
	{
		name: "nothing but what must be", organization: "acme", createdAt: "2026-11-23T06:05:00.000001Z",
		text: `{"id":"e-2","action":"a","resourceType":"b","recordedBy":"back-office"}`,
		leaf: `{"action":"a","createdAt":"2026-11-23T06:05:00.000001Z","id":"e-2","organization":"acme","recordedBy":"-RQIV7F8bA17yqYNpb7XhGnCfHuqCwxrjynroVVHt4Q","resourceType":"b","v":1}`,
		hash: "d185e81a86685a4bbae8266937ea67873b5ab1ba9dc7425640d7b17a6a55645c",
	},
	{
		name: "imported", organization: "acme", createdAt: "2019-02-28T23:59:59.999999Z",
		text: `{"id":"e-3","action":"auth.login","resourceType":"user \"é\" <\u0001>","userId":"u","recordedBy":"import","importedAt":"2026-11-23T06:05:00.000002Z"}`,
		leaf: `{"action":"auth.login","createdAt":"2019-02-28T23:59:59.999999Z","id":"e-3","importedAt":"2026-11-23T06:05:00.000002Z","organization":"acme","recordedBy":"vUFYRqd_EvBV3gLmCzVrLFNZsj1VMO2nY50plbwkIyA","resourceType":"user \"é\" <\u0001>","userId":"FPP8yOGCyFe-Gq1DnUYKEXqvMbWkzSHSIEehsFRyWtc","v":1}`,
		hash: "01cf12207079713d1bc88f7dc84566addf6a8839f950bedd459e69b882aebbbb",
	},
	{
		name: "admin with other members", organization: "_admin", createdAt: "2026-11-23T06:05:00.000003Z",
		text: `{"id":"e-4","action":"org.settings_updated","userId":"grace","userName":"Grace Hopper","organizationId":"acme","details":{"from":10,"to":25.0},"ipAddress":"198.51.100.7","userAgent":"x","ticket":"SUP-1842","caf\u00e9":[1.50],"resourceType":null,"recordedBy":"back-office"}`,
		leaf: `{"action":"org.settings_updated","createdAt":"2026-11-23T06:05:00.000003Z","details":"vygB10PVNyJ-T6_eiELeA83chvzP329ESxnPC7ChP_8","id":"e-4","ipAddress":"n6ioWxbq4TbZiYjLnEiBLc6CRyjOfU_QogNeudPhe_M","organization":"_admin","otherMembers":"hrICquuekrDlN3QmU578pYU-w9a_OHW5qtxQXp-AkVI","recordedBy":"-RQIV7F8bA17yqYNpb7XhGnCfHuqCwxrjynroVVHt4Q","userAgent":"SsXKCKsofWU0QpIpBFtNf9HbD9hy7gj8xoGRk7piZ_8","userId":"odTqlp6CpZtVR59JZhmEg9VT9uqhX2FO8YVRyMVO68Y","userName":"DsrNX_OoMudUwkp8-a-d0tRoB1ZgSaUvQrfSnZFKNqM","v":1}`,
		hash: "4dcacf5d71fe27b3a5306f1deae655bf7ff825241526c538445d90880214a861",
	},
	{
		name: "admin without", organization: "_admin", createdAt: "2026-11-23T06:05:00.000004Z",
		text: `{"id":"e-5","action":"a","recordedBy":"back-office"}`,
		leaf: `{"action":"a","createdAt":"2026-11-23T06:05:00.000004Z","id":"e-5","organization":"_admin","recordedBy":"-RQIV7F8bA17yqYNpb7XhGnCfHuqCwxrjynroVVHt4Q","v":1}`,
		hash: "78cfb8389d1bdc38048248143ae82438a8a3ed1a51cc7cf910963a99802dba74",
	},
}

// committed are the members that a leaf commits to, in the order of their numbers.
var committed = []string{
	"userId", "userName", "recordedBy", "resourceId", "resourceName", "ipAddress", "userAgent",
	"beforeState", "afterState", "details", "otherMembers",
}

// fixedSalts are salts for all members: number n has the bytes 16n, 16n+1, …, 16n+15.
func fixedSalts() []byte {
	var salts []byte
	for i := range committed {
		salts = append(salts, byte(i+1))
		for j := range 16 {
			salts = append(salts, byte(16*(i+1)+j))
		}
	}
	return salts
}

func TestLeavesAreAsWrittenOut(t *testing.T) {
	t.Parallel()
	for _, v := range leafVectors {
		leaf, err := audit.Leaf(v.organization, instant(t, v.createdAt), []byte(v.text), fixedSalts())
		hash := sha256.Sum256(append([]byte{0}, leaf...))
		if err != nil || string(leaf) != v.leaf || hex.EncodeToString(hash[:]) != v.hash {
			t.Errorf("%s: %v, hash %x, leaf\n%s, want\n%s", v.name, err, hash, leaf, v.leaf)
		}
	}
}

func TestALeafBelongsToItsOrganizationAndTime(t *testing.T) {
	t.Parallel()
	text, salts := []byte(leafVectors[0].text), fixedSalts()
	at := instant(t, leafVectors[0].createdAt)
	seen := map[string]string{}
	for _, place := range []struct {
		organization string
		at           time.Time
	}{{"acme", at}, {"acm", at}, {"Acme", at}, {audit.AdminOrganization, at}, {"acme", at.Add(time.Microsecond)}, {"acme", at.AddDate(0, 0, -1)}} {
		leaf, err := audit.Leaf(place.organization, place.at, text, salts)
		if other, twice := seen[string(leaf)]; err != nil || twice {
			t.Errorf("%v has the leaf of %s (%v)", place, other, err)
		}
		seen[string(leaf)] = fmt.Sprint(place)
	}
	if leaf, err := audit.Leaf("acme", at.In(time.FixedZone("", 3600)), text, salts); err != nil || string(leaf) != leafVectors[0].leaf {
		t.Errorf("another time zone makes another leaf (%v)", err)
	}
}

// A text that was tampered with has another leaf, or none, whichever byte it was.
func TestNoOtherTextHasTheSameLeaf(t *testing.T) {
	t.Parallel()
	for _, v := range leafVectors {
		at, salts := instant(t, v.createdAt), fixedSalts()
		check := func(what string, tampered []byte) {
			leaf, err := audit.Leaf(v.organization, at, tampered, salts)
			if err == nil && string(leaf) == v.leaf {
				t.Errorf("%s: %s goes unnoticed:\n%s", v.name, what, tampered)
			}
		}
		for i := range len(v.text) {
			before, after := v.text[:i], v.text[i+1:]
			check("a byte less", []byte(before+after))
			for _, c := range []byte("\",:{}[] \\u0an\x00\xff") {
				check("a byte more", []byte(before+string(rune(c))+v.text[i:]))
				if c != v.text[i] {
					check("another byte", slices.Concat([]byte(before), []byte{c}, []byte(after)))
				}
			}
			for bit := range 8 {
				check("a bit", slices.Concat([]byte(before), []byte{v.text[i] ^ 1<<bit}, []byte(after)))
			}
		}
		check("nothing left", nil)
		check("an empty object", []byte("{}"))
		check("trailing bytes", []byte(v.text+" "))
		for old, replaced := range map[string]string{
			`"action":"`:                       `"action":"b","action":"`,
			`,"recordedBy"`:                    `,"note":"added","recordedBy"`,
			`,"recordedBy":"`:                  `,"recordedBy":"b","recordedBy":"`,
			`"from":10,"to":25.0`:              `"to":25.0,"from":10`,
			`"memoryGiB":4.0,"a\/b":[]`:        `"a\/b":[],"memoryGiB":4.0`,
			`"ticket":"SUP-1842","caf\u00e9":`: `"caf\u00e9":"SUP-1842","ticket":`,
			`caf\u00e9`:                        `café`,
			`"id":"e-`:                         `"id":"\u0065-`,
			`"id":`:                            `"i\u0064":`,
			`"recordedBy":`:                    `"recorded\u0042y":`,
			`"resourceType":"server"`:          `"resourceType":xserverx`,
			`"afterState"`:                     `"details"`,
			`"userName"`:                       `"resourceName"`,
			`"userId"`:                         `"UserId"`,
			`"organizationId":"acme",`:         ``,
			`,"occurredAt":"2026-11-23T06:05:00.123456Z"`: ``,
		} {
			if tampered := strings.Replace(v.text, old, replaced, 1); tampered != v.text {
				check(replaced+" for "+old, []byte(tampered))
			}
		}
	}
}

func TestALeafNeedsASaltForEachMemberItCommitsTo(t *testing.T) {
	t.Parallel()
	const size = 17
	for _, v := range leafVectors {
		at, salts := instant(t, v.createdAt), audit.NewSalts(v.organization, []byte(v.text))
		if _, err := audit.Leaf(v.organization, at, []byte(v.text), salts); err != nil || len(salts)%size != 0 {
			t.Fatalf("%s: %d bytes of salts, %v", v.name, len(salts), err)
		}
		for i := 0; i < len(salts); i += size {
			if _, err := audit.Leaf(v.organization, at, []byte(v.text), slices.Delete(slices.Clone(salts), i, i+size)); err == nil {
				t.Errorf("%s: there is a leaf without the salt of %s", v.name, committed[salts[i]-1])
			}
		}
		if _, err := audit.Leaf(v.organization, at, []byte(v.text), salts[:len(salts)-1]); err == nil {
			t.Errorf("%s: there is a leaf with half a salt", v.name)
		}
		if again := audit.NewSalts(v.organization, []byte(v.text)); bytes.Equal(again, salts) {
			t.Errorf("%s: salts aren't random", v.name)
		}
	}
}

func TestSaltsBelongToTheMembersThatAreThere(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][]byte{
		"every member":             {4, 5, 1, 2, 6, 7, 8, 9, 3},
		"nothing but what must be": {3},
		"imported":                 {1, 3},
		"admin with other members": {1, 2, 10, 6, 7, 3, 11},
		"admin without":            {3},
	} {
		i := slices.IndexFunc(leafVectors, func(v leafVector) bool { return v.name == name })
		var got []byte
		for salt := range slices.Chunk(audit.NewSalts(leafVectors[i].organization, []byte(leafVectors[i].text)), 17) {
			got = append(got, salt[0])
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: salts of %v; want %v", name, got, want)
		}
	}
}

// independentLeaf follows the description of a leaf with nothing but encoding/json.
func independentLeaf(t *testing.T, organization, createdAt string, text, salts []byte) string {
	t.Helper()
	salt := map[string][]byte{}
	for chunk := range slices.Chunk(salts, 17) {
		salt[committed[chunk[0]-1]] = chunk[1:]
	}
	mac := func(name string, value []byte) string {
		h := hmac.New(sha256.New, salt[name])
		fmt.Fprintf(h, "%s\x00%s", name, value)
		return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
	}
	plain := []string{"id", "action", "importedAt", "resourceType", "occurredAt"}
	hidden := committed[:9]
	if organization == audit.AdminOrganization {
		plain, hidden = plain[:3], []string{"userId", "userName", "recordedBy", "ipAddress", "userAgent", "details"}
	}
	leaf := map[string]any{"v": 1, "organization": organization, "createdAt": createdAt}
	var others []string
	decoder := json.NewDecoder(bytes.NewReader(text))
	_, _ = decoder.Token()
	for decoder.More() {
		var value json.RawMessage
		token, err := decoder.Token()
		if err != nil || decoder.Decode(&value) != nil {
			t.Fatalf("%s: %v", text, err)
		}
		switch name := token.(string); {
		case slices.Contains(plain, name):
			leaf[name] = value
		case slices.Contains(hidden, name):
			leaf[name] = mac(name, value)
		default:
			others = append(others, fmt.Sprintf("%q:%s", name, value)) // the names in use need no escape
		}
	}
	if others != nil {
		leaf["otherMembers"] = mac("otherMembers", []byte("{"+strings.Join(others, ",")+"}"))
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(leaf)) {
		var part bytes.Buffer
		encoder := json.NewEncoder(&part)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(leaf[name]); err != nil {
			t.Fatal(err)
		}
		parts = append(parts, fmt.Sprintf("%q:%s", name, bytes.TrimSpace(part.Bytes())))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func TestLeavesEqualAnIndependentImplementation(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	values := []string{"a", "é😀", "<&>\"\\/", "\x01\t\r\n", "1.50"}
	for range 500 {
		text := func() string { return values[random.IntN(len(values))] }
		maybe := func() string { return []string{"", text()}[random.IntN(2)] }
		draft := audit.Draft{
			Action: text(), ResourceType: text(), ResourceID: maybe(), ResourceName: maybe(), UserID: maybe(), UserName: maybe(),
			IPAddress: maybe(), UserAgent: maybe(), OccurredAt: []string{"", "2026-11-23T06:05:00Z"}[random.IntN(2)],
		}
		if random.IntN(2) == 0 {
			draft.BeforeState = []byte(`{"b":[1.50e1,"\/"],"a":{}}`)
			draft.AfterState = []byte(`{}`)
		}
		entry, err := audit.Admit(draft, "")
		organization := "acme"
		if random.IntN(2) == 0 {
			organization = audit.AdminOrganization
			object := audit.AppendString([]byte(`{"details":{"k":[1.0]},"x":1,"y":null,"action":`), text())
			entry, err = audit.AdmitAdmin(append(object, '}'))
		}
		if err != nil {
			t.Fatal(err)
		}
		stored := entry.Seal(text(), []time.Time{{}, time.Unix(1, 0)}[random.IntN(2)])
		salts := audit.NewSalts(organization, stored)
		leaf, err := audit.Leaf(organization, time.Unix(0, 0), stored, salts)
		if want := independentLeaf(t, organization, "1970-01-01T00:00:00.000000Z", stored, salts); err != nil || string(leaf) != want {
			t.Fatalf("leaf of %s\n= %s\n, want %s (%v)", stored, leaf, want, err)
		}
	}
}

// A leaf never holds a state, so its size is bounded by its plain members.
func TestALeafIsSmall(t *testing.T) {
	t.Parallel()
	filled := func(length int) string { return strings.Repeat("\x01", length) } // six bytes each in JSON
	entry, err := audit.Admit(audit.Draft{
		ID: strings.Repeat("i", 128), Action: filled(200), ResourceType: filled(100), ResourceID: filled(1024), ResourceName: filled(1024),
		UserID: filled(512), UserName: filled(512), IPAddress: filled(256), UserAgent: filled(2048),
		BeforeState: []byte(`{"k":"` + strings.Repeat("x", 100_000) + `"}`), AfterState: []byte(`{"k":"` + strings.Repeat("x", 100_000) + `"}`),
		OccurredAt: "2026-11-23T06:05:00Z",
	}, "")
	if err != nil {
		t.Fatal(err)
	}
	text := entry.Seal(filled(512), time.Unix(0, 0))
	leaf, err := audit.Leaf(strings.Repeat("o", 64), time.Unix(0, 0), text, audit.NewSalts("", text))
	const plain = 128 + 6*200 + 6*100
	if err != nil || len(leaf) > 2048+plain {
		t.Errorf("the largest leaf has %d bytes, %v", len(leaf), err)
	}
	t.Logf("the largest leaf has %d bytes, %d of them in plain members' values", len(leaf), plain)
}

func TestASealedEntryHasTheLeafOfItsText(t *testing.T) {
	t.Parallel()
	for _, v := range leafVectors {
		sealed, err := audit.NewSealed(v.organization, []byte(v.text))
		if err != nil || string(sealed.Text) != v.text {
			t.Fatal(string(sealed.Text), err)
		}
		for _, at := range []time.Time{instant(t, v.createdAt), time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC), {}} {
			want, err := audit.Leaf(v.organization, at, sealed.Text, sealed.Salts)
			if got := sealed.Leaf(at); err != nil || string(got) != string(want) {
				t.Errorf("%s: %s, %v, want %s", v.text, got, err, want)
			}
		}
	}
	if _, err := audit.NewSealed("acme", []byte(`{"id":"x" }`)); err == nil {
		t.Error("a text that isn't compact was sealed")
	}
}

// A place in the leaf is one member's: the second of two must not stand for both.
func TestAMemberThatStandsTwiceHasNoLeaf(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{"id":"e-1","action":"a","resourceType":"b","userId":"eve","userId":"ada","recordedBy":"r"}`,
		`{"id":"e-2","id":"e-1","action":"a","resourceType":"b","recordedBy":"r"}`,
		`{"id":"e-1","action":"a","resourceType":"b","recordedBy":"r","otherMembers":{},"more":1}`,
	} {
		if leaf, err := audit.Leaf("acme", time.Now(), []byte(text), fixedSalts()); err == nil || !strings.Contains(err.Error(), "stands twice") {
			t.Errorf("%s has the leaf %s, %v", text, leaf, err)
		}
	}
}
