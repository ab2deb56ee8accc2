package httpapi_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/testkit"
)

const least = `{"action":"a","resourceType":"t"}`

// gzipped is the text compressed.
func gzipped(text string) string {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	io.WriteString(w, text)
	w.Close()
	return packed.String()
}

func TestABodyIsJSONByItsContentType(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	for kind, taken := range map[string]bool{
		"application/json":                   true,
		"application/json; charset=utf-8":    true,
		"Application/JSON;charset=\"UTF-8\"": true,
		"application/json; charset=utf-16":   false,
		"application/json, text/plain":       false,
		"application/jsonx":                  false,
		"application/problem+json":           false,
		"application/xml":                    false,
		"text/plain":                         false,
		"application/x-www-form-urlencoded":  false,
		"multipart/form-data; boundary=x":    false,
		"":                                   false,
	} {
		for _, path := range []string{"/audit-logs", "/admin/audit-logs"} {
			by := ada
			if strings.HasPrefix(path, "/admin") {
				by = grace
			}
			a := send(t, s, by, http.MethodPost, path, least, "Content-Type", kind)
			if taken && a.status != http.StatusCreated {
				t.Errorf("%s as %q: %d %s", path, kind, a.status, a.body)
			} else if !taken {
				a.problem(t, http.StatusUnsupportedMediaType)
			}
		}
	}
	two, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/audit-logs", strings.NewReader(least))
	if err != nil {
		t.Fatal(err)
	}
	two.Header = http.Header{"Authorization": {"Bearer " + testkit.Token(t, ada)}, "Content-Type": {"application/json", "text/plain"}}
	do(t, s, two).problem(t, http.StatusUnsupportedMediaType)
}

func TestABodyMayBeGzippedAndNothingElse(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	packed := gzipped(least)
	for _, c := range []struct {
		name, encoding, body string
		status               int
	}{
		{"plain", "identity", least, 201},
		{"gzip", "gzip", packed, 201},
		{"gzip in capitals", "GZIP", packed, 201},
		{"in two members", "gzip", gzipped(least[:5]) + gzipped(least[5:]), 201},
		{"not packed", "gzip", least, 400},
		{"broken off", "gzip", packed[:len(packed)-9], 400},
		{"without its checksum", "gzip", packed[:len(packed)-4], 400},
		{"with another checksum", "gzip", packed[:len(packed)-8] + "\x00\x00\x00\x00" + packed[len(packed)-4:], 400},
		{"with bytes behind it", "gzip", packed + "x", 400},
		{"empty", "gzip", gzipped(""), 400},
		{"packed but not said so", "", packed, 400},
		{"br", "br", packed, 415},
		{"deflate", "deflate", packed, 415},
		{"zstd", "zstd", packed, 415},
		{"gzip twice", "gzip, gzip", gzipped(packed), 415},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := send(t, s, ada, http.MethodPost, "/audit-logs", c.body, "Content-Encoding", c.encoding)
			if c.status != http.StatusCreated {
				a.problem(t, c.status)
			} else if a.status != c.status {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
}

func TestABodyHasUpToEightMiBDecompressed(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	full := least + strings.Repeat(" ", audit.MaxBodyBytes-len(least))
	for _, c := range []struct {
		name, body, encoding string
		status               int
	}{
		{"full", full, "", 201},
		{"full and packed", gzipped(full), "gzip", 201},
		{"a byte more", full + " ", "", 413},
		{"a byte more and packed", gzipped(full + " "), "gzip", 413},
		{"little, in too many packed bytes", strings.Repeat(gzipped(""), audit.MaxBodyBytes/len(gzipped(""))) + gzipped(least), "gzip", 413},
	} {
		a := send(t, s, ada, http.MethodPost, "/audit-logs", c.body, "Content-Encoding", c.encoding)
		if c.status != http.StatusCreated {
			a.problem(t, c.status)
		} else if a.status != c.status {
			t.Errorf("%s: %d %s", c.name, a.status, a.body)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/audit-logs", io.MultiReader(strings.NewReader(full), strings.NewReader(" ")))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+testkit.Token(t, ada))
	r.Header.Set("Content-Type", "application/json")
	do(t, s, r).problem(t, http.StatusRequestEntityTooLarge) // a byte more, of unknown length
}

// The costs are those of the whole process, so this test runs alone. They are in sum, the
// client's included: what is held at once is less.
func TestABodyMadeToBeExpensiveIsRefusedCheaply(t *testing.T) {
	s := testkit.NewService(t)
	bomb := gzipped(strings.Repeat("\x00", 200<<20)) // HT-05
	member := gzipped(strings.Repeat(" ", 16<<20))
	name := strings.Repeat("x", 7<<20)
	var unknown strings.Builder
	for i := range 700_000 {
		fmt.Fprintf(&unknown, `,"%x":0`, i)
	}
	t.Logf("200 MiB in %d KiB", len(bomb)>>10)
	send(t, s, ada, http.MethodPost, "/audit-logs/batch", gzipped("{}"), "Content-Encoding", "gzip") // what is made once
	for _, c := range []struct {
		name, body, encoding string
		status               int
		most                 uint64 // bytes allocated
	}{
		{"200 MiB in 204 KiB", bomb, "gzip", 413, 8_000_000},
		{"a gigabyte in a megabyte", strings.Repeat(member, 64), "gzip", 413, 16 << 20},
		{"half a million items", gzipped(`{"items":[` + strings.Repeat("{},", 500_000) + `{}]}`), "gzip", 400, 128 << 20},
		{"more members than an entry has room for", gzipped(`{"items":[]` + unknown.String() + `}`), "gzip", 422, 64 << 20},
		{"faults under an endless name", gzipped(`{"items":[{"afterState":{"` + name + `":{` + strings.Repeat(`"a":1,`, 30) + `"a":1}}}]}`), "gzip", 422, 128 << 20},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		a := send(t, s, ada, http.MethodPost, "/audit-logs/batch", c.body, "Content-Encoding", c.encoding)
		runtime.ReadMemStats(&after)
		a.problem(t, c.status)
		used := after.TotalAlloc - before.TotalAlloc
		t.Logf("%s: %d KiB allocated", c.name, used>>10)
		if used > c.most {
			t.Errorf("%s: %d bytes allocated, at most %d are allowed", c.name, used, c.most)
		}
	}
}

// Twenty faults would otherwise repeat the name that leads to them twenty times.
func TestAFaultUnderAnEndlessNameIsToldShort(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	name := strings.Repeat("x", 4000)
	for inner, want := range map[string]string{
		"y":                      "/afterState/" + name + "/y",
		strings.Repeat("y", 100): "/afterState/" + name,
	} {
		body := `{"action":"a.b","resourceType":"t","afterState":{"` + name + `":{"` + inner + `":1,"` + inner + `":2}}}`
		if p := post(t, s, ada, "/audit-logs", body).problem(t, http.StatusUnprocessableEntity); p.Errors[0].Pointer != want {
			t.Errorf("%d bytes, want %d", len(p.Errors[0].Pointer), len(want))
		}
	}
	long := strings.Repeat("z", 5000)
	p := post(t, s, ada, "/audit-logs", `{"action":"a.b","resourceType":"t","`+long+`":1}`).problem(t, http.StatusBadRequest)
	if p.Errors[0].Pointer != "" {
		t.Errorf("%d bytes", len(p.Errors[0].Pointer))
	}
}
