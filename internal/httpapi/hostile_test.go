package httpapi_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/docs"
	"ocore.dev/audit/internal/httpapi"
	"ocore.dev/audit/internal/testkit"
)

// Requests that no client library makes: what they are answered with is a problem or a plain
// refusal of the HTTP server, never a 500, and what is stored is what was sent. The costs of
// bodies stand in body_test.go, faults of bodies in record_test.go, parameters in
// list_test.go, and whatever reaches for another organization in tenants_test.go.

// conversation sends bytes as they are and, behind them, a request for /healthz that ends the
// connection; so its 200 tells that the connection was kept, and that no byte before it was
// taken for anything else. Where hangUp is set nothing follows but an end.
func conversation(t testing.TB, s *testkit.Service, text string, hangUp bool) []answer {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(s.URL, "http://"), httpapi.BasePath))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	go func() { // the server may answer and close before it has read all
		if hangUp {
			io.WriteString(conn, text)
			conn.(*net.TCPConn).CloseWrite()
		} else {
			io.WriteString(conn, text+"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		}
	}()
	var answers []answer
	for reader := bufio.NewReader(conn); ; {
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			return answers
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		answers = append(answers, answer{response.StatusCode, response.Header, string(body)})
		if err != nil {
			return answers
		}
	}
}

func statuses(answers []answer) string {
	var all []string
	for _, a := range answers {
		all = append(all, fmt.Sprint(a.status))
	}
	return strings.Join(all, " ")
}

// What is a request and where it ends is decided by net/http. These are its decisions, so
// that a proxy in front can be held against them: two requests where RFC 9112 sees two, and
// a refusal where it sees none.
func TestRequestsAreFramedAsRFC9112Says(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	token := "Authorization: Bearer " + testkit.Token(t, ada) + "\r\n"
	const line, host, kind = "POST /api/audit-logs HTTP/1.1\r\n", "Host: x\r\n", "Content-Type: application/json\r\n"
	begin := line + host + token + kind
	length := fmt.Sprintf("Content-Length: %d\r\n", len(least))
	chunk := fmt.Sprintf("%x\r\n%s\r\n", len(least), least)
	second := "GET /api/audit-logs/entries/none HTTP/1.1\r\nHost: x\r\n" + token + "\r\n"
	for name, c := range map[string]struct{ request, want string }{
		"HT-07 a length":                            {begin + length + "\r\n" + least, "201 200"},
		"HT-07 chunks":                              {begin + "Transfer-Encoding: chunked\r\n\r\n" + chunk + "0\r\n\r\n", "201 200"},
		"HT-07 two requests at once":                {begin + length + "\r\n" + least + second, "201 404 200"},
		"HT-07 the same length twice":               {begin + length + length + "\r\n" + least, "201 200"},
		"HT-07 two lengths":                         {begin + length + "Content-Length: 5\r\n\r\n" + least, "400"},
		"HT-07 a list of lengths":                   {begin + strings.Replace(length, "\r\n", ", 5\r\n", 1) + "\r\n" + least, "400"},
		"HT-07 a signed length":                     {begin + "Content-Length: +33\r\n\r\n" + least, "400"},
		"HT-07 a negative length":                   {begin + "Content-Length: -1\r\n\r\n" + least, "400"},
		"HT-07 a hexadecimal length":                {begin + "Content-Length: 0x21\r\n\r\n" + least, "400"},
		"HT-07 a length beyond numbers":             {begin + "Content-Length: 99999999999999999999\r\n\r\n" + least, "400"},
		"HT-07 a length and chunks":                 {begin + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + "0\r\n\r\n" + second, "201 404 200"},
		"HT-07 a request inside of a body":          {begin + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(second), second) + second, "400 404 200"},
		"HT-07 an unknown encoding":                 {begin + "Transfer-Encoding: xchunked\r\n\r\n" + chunk + "0\r\n\r\n", "501"},
		"HT-07 chunks in another":                   {begin + "Transfer-Encoding: gzip, chunked\r\n\r\n" + chunk + "0\r\n\r\n", "501"},
		"HT-07 chunks twice":                        {begin + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + "0\r\n\r\n", "501"},
		"HT-07 a space before the colon":            {begin + "Transfer-Encoding : chunked\r\n\r\n" + chunk + "0\r\n\r\n", "400"},
		"HT-07 a vertical tab before it":            {begin + "Transfer-Encoding:\x0bchunked\r\n\r\n" + chunk + "0\r\n\r\n", "400"},
		"HT-07 a chunk of no size":                  {begin + "Transfer-Encoding: chunked\r\n\r\n\r\n" + least, "400"},
		"HT-07 a chunk of a size beyond numbers":    {begin + "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n" + least, "400"},
		"HT-07 a chunk of a negative size":          {begin + "Transfer-Encoding: chunked\r\n\r\n-1\r\n" + least, "400"},
		"HT-07 line feeds alone between chunks":     {begin + "Transfer-Encoding: chunked\r\n\r\n" + strings.ReplaceAll(chunk, "\r\n", "\n") + "0\n\n", "400"},
		"HT-07 chunks that break off":               {begin + "Transfer-Encoding: chunked\r\n\r\n" + chunk, "400"},
		"HT-07 a body that breaks off":              {begin + "Content-Length: 99\r\n\r\n" + least, "400"},
		"HT-07 a trailer":                           {begin + "Trailer: X-Org-Slug\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + "0\r\nX-Org-Slug: globex\r\n\r\n", "201 200"},
		"HT-07 chunks in HTTP/1.0":                  {strings.Replace(begin, "HTTP/1.1", "HTTP/1.0", 1) + "Transfer-Encoding: chunked\r\n\r\n" + chunk + "0\r\n\r\n", "400"},
		"HT-07 no host":                             {line + token + kind + length + "\r\n" + least, "400"},
		"HT-07 two hosts":                           {begin + host + length + "\r\n" + least, "400"},
		"HT-07 a host with a space":                 {strings.Replace(begin, "Host: x", "Host: x y", 1) + length + "\r\n" + least, "400"},
		"HT-07 another host in the target":          {strings.Replace(begin, "POST /", "POST http://evil.example/", 1) + length + "\r\n" + least, "201 200"},
		"HT-07 a folded header":                     {begin + "X-Org-Slug: acme\r\n globex\r\n" + length + "\r\n" + least, "403 200"},
		"HT-07 a header without a colon":            {begin + "nonsense\r\n" + length + "\r\n" + least, "400"},
		"HT-07 a header without a name":             {begin + ": x\r\n" + length + "\r\n" + least, "400"},
		"HT-07 a space before the first header":     {line + " " + host + token + kind + length + "\r\n" + least, "400"},
		"HT-07 a carriage return alone in a header": {begin + "X-Org-Slug: ac\rme\r\n" + length + "\r\n" + least, "400"},
		"HT-03 a megabyte of headers":               {begin + "X-Much: " + strings.Repeat("x", 1<<20) + "\r\n" + length + "\r\n" + least, "431"},
		"HT-03 thousands of headers":                {begin + strings.Repeat("X-Many: x\r\n", 5000) + length + "\r\n" + least, "431"},
		"HT-03 a long target":                       {"GET /api/audit-logs?action=" + strings.Repeat("x", 1<<20) + " HTTP/1.1\r\n" + host + token + "\r\n", "431"},
		"IN-01 NUL in a header":                     {begin + "X-Org-Slug: acme\x00\r\n" + length + "\r\n" + least, "400"},
		"IN-01 NUL in a token":                      {line + host + "Authorization: Bearer \x00\r\n" + kind + length + "\r\n" + least, "400"},
		"IN-01 NUL in the target":                   {"GET /api/audit-logs\x00 HTTP/1.1\r\n" + host + token + "\r\n", "400"},
		"IN-01 NUL in a request id":                 {begin + "X-Request-Id: a\x00b\r\n" + length + "\r\n" + least, "400"},
		"HT-09 a method that is no token":           {"G(E)T /api/audit-logs HTTP/1.1\r\n" + host + token + "\r\n", "400"},
		"HT-09 a long method":                       {strings.Repeat("G", 5000) + " /api/audit-logs HTTP/1.1\r\n" + host + token + "\r\n", "405 200"},
		"HT-09 no version":                          {"GET /api/audit-logs\r\n" + host + token + "\r\n", "400"},
		"HT-09 HTTP/2 without a word before":        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "404"},
		"HT-09 a version that there isn't":          {"GET /api/audit-logs HTTP/9.9\r\n" + host + token + "\r\n", "505"},
		"HT-09 an upgrade":                          {"GET /api/audit-logs/entries/none HTTP/1.1\r\n" + host + token + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", "404 200"},
		"TLS where none is":                         {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400"},
	} {
		if got := statuses(conversation(t, s, c.request, strings.Contains(name, "breaks off") || strings.Contains(name, "break off") || name == "TLS where none is")); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	for _, text := range storedText(t, s) {
		if !strings.HasPrefix(text, `{"id":"`) || !strings.Contains(text, `"action":"a","resourceType":"t","recordedBy":"ada"`) {
			t.Errorf("stored: %s", text)
		}
	}
	if total := list(t, s, eve, "/audit-logs").Total; total != 0 {
		t.Errorf("%d entries went into another organization", total)
	}
}

// A caller that closes its own side as soon as it has sent all looks like one that has gone.
// It may get its answer, or none and so know that the outcome is unknown; a 4xx would say that
// nothing was stored.
func TestACallerThatStopsSendingIsNotToldThatNothingWasStored(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	begin := "POST /api/audit-logs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer " + testkit.Token(t, ada) + "\r\n"
	for i := range 20 {
		body := fmt.Sprintf(`{"id":"e-%d","action":"a","resourceType":"t"}`, i)
		got := statuses(conversation(t, s, begin+fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body), true))
		if got != "" && got != "201" {
			t.Errorf("%s", got)
		}
		if a := post(t, s, ada, "/audit-logs", body); a.status != http.StatusCreated {
			t.Errorf("again: %d %s", a.status, a.body)
		}
	}
	if total := list(t, s, ada, "/audit-logs").Total; total != 20 {
		t.Errorf("%d entries of 20 ids", total)
	}
}

// A caller's word about who or where they are, and through which host they came, counts for
// nothing: not in what is stored, not in links, not in which method is meant.
func TestHeadersThatProxiesSetAreNotBelieved(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	seed(t, s, numbered(3)...)
	plain := get(t, s, ada, "/audit-logs?per_page=1")
	for _, h := range [][2]string{
		{"X-Forwarded-For", "203.0.113.9"},
		{"X-Forwarded-For", "127.0.0.1, 203.0.113.9"},
		{"X-Real-Ip", "203.0.113.9"},
		{"Forwarded", "for=203.0.113.9;host=evil.example;proto=https"},
		{"X-Forwarded-Host", "evil.example"},
		{"X-Forwarded-Proto", "https"},
		{"X-Forwarded-Prefix", "/evil"},
		{"X-Original-Url", "/api/admin/audit-logs"},
		{"X-Rewrite-Url", "/api/admin/audit-logs"},
		{"X-Http-Method-Override", "POST"},
		{"X-Http-Method", "DELETE"},
		{"X-Method-Override", "DELETE"},
		{"X-Org-Id", "globex"},
		{"X-User-Id", "root"},
		{"X-Forwarded-User", "root"},
		{"Cookie", "token=" + testkit.Token(t, eve)},
		{"Referer", "https://evil.example/"},
		{"Origin", "https://evil.example"},
		{"Accept", "text/csv"},
		{"Accept-Language", "\xff\xfe"},
		{"If-None-Match", "*"},
		{"If-Modified-Since", "Tue, 24 Nov 2099 00:00:00 GMT"},
		{"Range", "bytes=0-1"},
		{"Via", "1.0 evil"},
		{"Te", "trailers"},
		{"Max-Forwards", "0"},
		{"Prefer", "return=minimal"},
	} {
		a := send(t, s, ada, http.MethodGet, "/audit-logs?per_page=1", "", h[0], h[1])
		if a.status != http.StatusOK || a.body != plain.body || a.header.Get("Link") != plain.header.Get("Link") {
			t.Errorf("HT-08 %s: %s: %d %s", h[0], h[1], a.status, a.body)
		}
		recorded := send(t, s, ada, http.MethodPost, "/audit-logs", `{"id":"h","action":"a","resourceType":"t"}`, h[0], h[1])
		if recorded.status != http.StatusCreated || strings.Contains(recorded.body, "203.0.113.9") || strings.Contains(recorded.body, "ipAddress") || !strings.Contains(recorded.body, `"recordedBy":"ada"`) {
			t.Errorf("HT-08 %s: %s: %d %s", h[0], h[1], recorded.status, recorded.body)
		}
		plain = get(t, s, ada, "/audit-logs?per_page=1")
	}
	for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/heap", "/debug/vars", "/debug", "/admin", "/env", "/.git/config", "/swagger", "/api/metrics", "/api/debug/pprof/", "/server-status"} {
		get(t, outside(s), audit.Principal{}, path).problem(t, http.StatusNotFound) // HT-16
	}
}

// hostileTexts are JSON strings, quotes included, that must not be stored: as something else
// they would be, or by nobody at all.
var hostileTexts = map[string]string{
	"IN-01 NUL":                                  `"a\u0000b"`,
	"IN-01 NUL as it is":                         "\"a\x00b\"",
	"IN-02 a byte that is no UTF-8":              "\"a\xffb\"",
	"IN-02 UTF-8 cut":                            "\"a\xe2\x82\"",
	"IN-02 UTF-8 too long":                       "\"\xc0\xaf\"",
	"IN-02 a surrogate in UTF-8":                 "\"\xed\xa0\x80\"",
	"IN-02 above all characters":                 "\"\xf4\x90\x80\x80\"",
	"IN-02 Latin-1":                              "\"caf\xe9\"",
	"IN-02 a high surrogate alone":               `"\ud83d"`,
	"IN-02 a low surrogate alone":                `"\ude00"`,
	"IN-02 surrogates the wrong way round":       `"\ude00\ud83d"`,
	"IN-02 a high surrogate twice":               `"\ud83d\ud83d\ude00"`,
	"IN-02 a surrogate before a character":       `"\ud83dx"`,
	"IN-10 a line feed as it is":                 "\"a\nb\"",
	"IN-10 an escape character as it is":         "\"\x1b[2J\"",
	"IN-02 a surrogate, half of it as UTF-8":     "\"\\ud83d\xed\xb8\x80\"",
	"IN-01 NUL behind what must be escaped":      `"\"\\\u0000"`,
	"IN-02 an escape that there isn't":           `"\u{1f600}"`,
	"IN-02 an escape with a sign":                `"\u+041"`,
	"IN-02 an escape of the wrong length":        `"\u41"`,
	"IN-02 an escape that the text ends in":      `"\u004"`,
	"IN-02 a hexadecimal escape":                 `"\x00"`,
	"IN-01 NUL between the halves of a pair":     `"\ud83d\u0000\ude00"`,
	"IN-02 a character's first byte and an end":  "\"\xf0\"",
	"IN-02 a continuation without a begin":       "\"\x80\"",
	"IN-01 NUL twice, the second time as it is":  "\"\\u0000\x00\"",
	"IN-02 five bytes":                           "\"\xf8\x88\x80\x80\x80\"",
	"IN-02 the byte order mark of UTF-16 in one": "\"\xfe\xff\"",
}

// members are the places of a body where a text can stand, as a function from a JSON string
// to a body, by the schema: every string member, and keys and values of what is free.
func membersOf(t testing.TB, schema *openapi3.Schema) map[string]func(text string) string {
	t.Helper()
	rest := `"action":"a"`
	if schema.Properties["resourceType"] != nil {
		rest += `,"resourceType":"t"`
	}
	places := map[string]func(string) string{}
	for name, p := range schema.Properties {
		switch {
		case p.Value.Type.Is(openapi3.TypeString):
			others := "," + rest
			for _, required := range []string{`,"action":"a"`, `,"resourceType":"t"`} {
				if strings.HasPrefix(required, `,"`+name+`"`) {
					others = strings.Replace(others, required, "", 1)
				}
			}
			places[name] = func(text string) string { return `{"` + name + `":` + text + others + `}` }
		case p.Value.Type.Is(openapi3.TypeObject):
			for place, form := range map[string]string{" value": `{"k":$}`, " key": `{$:1}`, " item": `{"k":[1,$]}`, " deep": `{"k":[{"":{$:[$]}}]}`} {
				places[name+place] = func(text string) string {
					return `{"` + name + `":` + strings.ReplaceAll(form, "$", text) + `,` + rest + `}`
				}
			}
		}
	}
	if schema.AdditionalProperties.Has != nil && *schema.AdditionalProperties.Has {
		places["open value"] = func(text string) string { return `{"open":` + text + `,` + rest + `}` }
		places["open key"] = func(text string) string { return `{` + text + `:1,` + rest + `}` }
	}
	return places
}

// eachBody calls do for every place of a text in every body of the document.
func eachBody(t testing.TB, do func(path, place string, body func(text string) string)) {
	t.Helper()
	eachOperation(t, func(method, path string, o *openapi3.Operation) {
		if o.RequestBody == nil {
			return
		}
		schema := o.RequestBody.Value.Content.Get("application/json").Schema.Value
		wrap := func(body string) string { return body }
		if items := schema.Properties["items"]; items != nil {
			schema = items.Value.Items.Value
			wrap = func(body string) string { return `{"items":[` + least + `,` + body + `]}` }
		}
		for place, body := range membersOf(t, schema) {
			do(path, place, func(text string) string { return wrap(body(text)) })
		}
	})
}

func TestNoTextIsStoredAsAnother(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	sent := 0
	eachBody(t, func(path, place string, body func(string) string) {
		for name, text := range hostileTexts {
			a := post(t, s, of(path), path, body(text))
			if sent++; a.status != http.StatusBadRequest && a.status != http.StatusUnprocessableEntity {
				t.Errorf("%s, %s, %s: %d %.200s", name, path, place, a.status, a.body)
				continue
			}
			if told := a.problem(t, a.status); len(told.Errors) == 0 {
				t.Errorf("%s, %s, %s: %s", name, path, place, a.body)
			}
		}
	})
	if stored := storedText(t, s); len(stored) != 0 {
		t.Errorf("stored: %.300q", stored)
	}
	t.Logf("%d bodies, each refused", sent)
	if sent < 1000 {
		t.Error("there were fewer places than the document has")
	}
}

// alphabet is every character that a text may hold, in pieces that fit the members of an
// entry: the whole Basic Multilingual Plane, and of the others the ends and some between.
func alphabet() []string {
	var characters []rune
	for r := rune(1); r <= 0xFFFF; r++ {
		if !unicode.Is(unicode.Cs, r) {
			characters = append(characters, r)
		}
	}
	for plane := rune(1); plane <= 16; plane++ {
		for _, low := range []rune{0, 1, 0xF600, 0xF9A6, 0xFFFD, 0xFFFE, 0xFFFF} {
			characters = append(characters, plane<<16|low)
		}
	}
	var pieces []string
	for piece := range slices.Chunk(characters, 120) {
		pieces = append(pieces, string(piece))
	}
	return append(pieces,
		"cafe\u0301", "caf\u00e9", "\u1e9b\u0323", "\u212b", "\u00c5", "A\u030a", "\ufb01", "İıſK", // IN-13: forms that are one to somebody
		"\u202ecod.exe", "\u200b\u200d\u2060\ufeff", "\u0627\u0644\u0639", "👩‍👩‍👧‍👦", "\u0300\u0301\u0302", "\ufdd0\ufffe", strings.Repeat("\u0489", 100),
		"=1+1", "+1", "-1", "@a", "\t=1", "\r=1", "\n=1", "＝1", "＋1", "－1", "＠1", "'=1", "''=1", `"=1"`, `a",=1`, "a,=1", ";=1", "|=1", "=cmd|'/C calc'!A0", "%0A=1", // IN-11
		"%", "_", `\`, `\%`, `%_%_%_%`, "(a+)+$", "$1", "${jndi:ldap://x}", "{{7*7}}", "<script>alert(1)</script>", "'; DROP TABLE entries; --", "' OR '1'='1", `" OR ""="`, "$$; SELECT 1; $$", "\u02bc", // IN-12, IN-14
		" ", "  a  ", "\u00a0", "\r\n", "a\r\nb", "null", "true", "0", "1e400", "NaN", "[]", "{}", `\u0000`, `\ud800`, "../../etc/passwd", "%2e%2e%2f", "%00", "a\u0085b", "\x7f", "\x1b[31m",
	)
}

// Every text comes back as it was sent, from every answer and by every filter.
func TestEveryTextComesBackAsItWasSent(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	texts := alphabet()
	quoted := func(text string) string { return string(audit.AppendString(nil, text)) }
	escaped := func(text string) string { // in the form that is ASCII alone
		var form strings.Builder
		for _, r := range text {
			if low := r - 0x10000; low >= 0 {
				fmt.Fprintf(&form, `\u%04x\u%04X`, 0xD800+low>>10, 0xDC00+low&0x3FF)
			} else {
				fmt.Fprintf(&form, `\u%04x`, r)
			}
		}
		return `"` + form.String() + `"`
	}
	state := func(text string) string {
		return `{` + quoted(text) + `:` + escaped(text) + `,"":[` + escaped(text) + `,` + quoted(text) + `]}`
	}
	var items []string
	for i, text := range texts {
		form := quoted
		if i%2 == 1 {
			form = escaped
		}
		short := form(string([]rune(text)[:min(25, utf8.RuneCountInString(text))]))
		items = append(items, fmt.Sprintf(`{"id":"t-%d","action":%s,"resourceType":%s,"resourceId":%s,"resourceName":%s,"userId":%s,"userName":%s,"ipAddress":%s,"userAgent":%s,"beforeState":%s,"afterState":%s}`,
			i, short, short, form(text), form(text), form(text), form(text), short, form(text), state(text), state(text)))
	}
	for batch := range slices.Chunk(items, 250) {
		read[any](t, post(t, s, ada, "/audit-logs/batch", `{"items":[`+strings.Join(batch, ",")+`]}`), http.StatusCreated)
	}
	var stored []json.RawMessage
	for a, more := get(t, s, ada, "/audit-logs?per_page=1000"), true; more; a, more = next(t, s, ada, a) {
		stored = append(stored, read[page](t, a, http.StatusOK).Items...)
	}
	slices.Reverse(stored)
	exported := list(t, s, ada, "/audit-logs/export").Items
	slices.Reverse(exported)
	if len(stored) != len(texts) || join(stored) != join(exported) {
		t.Fatalf("%d of %d texts are stored, %d exported", len(stored), len(texts), len(exported))
	}
	rows := readCSV(t, get(t, s, ada, "/audit-logs/export?format=csv").body)
	slices.Reverse(rows)
	for i, text := range texts {
		var e struct{ ResourceID, ResourceName, UserID, UserName, UserAgent string }
		if err := json.Unmarshal(stored[i], &e); err != nil {
			t.Fatal(err)
		}
		for _, got := range []string{e.ResourceID, e.ResourceName, e.UserID, e.UserName, e.UserAgent} {
			if got != text {
				t.Errorf("%q came back as %q", text, got)
			}
		}
		if strings.Count(string(stored[i]), state(text)) != 2 {
			t.Errorf("the states of %q came back in %s", text, stored[i])
		}
		if got := audit.UnescapeCell(rows[i]["resourceName"]); got != strings.ReplaceAll(text, "\r\n", "\n") { // the reader makes one of two
			t.Errorf("%q came back as the cell %q", text, got)
		}
		for name, cell := range rows[i] {
			if first, _ := utf8.DecodeRuneInString(cell); cell != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", first) {
				t.Errorf("%s opens as a formula: %q", name, cell)
			}
		}
		if i%7 == 0 || i > len(texts)-100 {
			for _, name := range []string{"resource_id", "user_id"} {
				found := list(t, s, ada, "/audit-logs?"+name+"="+url.QueryEscape(text))
				if want := []string{fmt.Sprintf("t-%d", i)}; found.Total != 1 || !slices.Equal(ids(t, found.Items), want) {
					t.Errorf("%s=%q finds %d, %q", name, text, found.Total, ids(t, found.Items))
				}
			}
		}
	}
}

// Numbers come back digit for digit or are refused, and no answer is larger than what was
// sent: nothing computes with them.
func TestEveryNumberComesBackDigitForDigit(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	numbers := []string{
		"0", "-0", "0.0", "-0.0e-0", "1", "1.0", "1e0", "1E+0", "9007199254740991", "9007199254740992", "9007199254740993", "-9007199254740993", "18446744073709551616",
		"1e400", "-1e400", "1e-400", "1e131071", "4.9e-324", "1.7976931348623157e308", "1.7976931348623159e308", "0.1", "0.30000000000000004", "1e" + strings.Repeat("0", 60) + "1",
		strings.Repeat("9", audit.MaxNumber), "0." + strings.Repeat("0", audit.MaxNumber-2), "1e999999999999999999999999999999",
	}
	bombs := strings.TrimSuffix(strings.Repeat("1e131071,", 20_000), ",") // 180 KB that PostgreSQL would print as 2.6 GB
	for _, state := range append(numbers, "["+bombs+"]") {
		state = `{"n":` + state + `}`
		for path, body := range map[string]string{
			"/audit-logs":       `{"action":"a","resourceType":"t","beforeState":` + state + `}`,
			"/admin/audit-logs": `{"action":"a","details":` + state + `}`,
		} {
			a := post(t, s, of(path), path, body)
			read[map[string]json.RawMessage](t, a, http.StatusCreated)
			shown := get(t, s, of(path), path+map[string]string{"/audit-logs": "?per_page=1", "/admin/audit-logs": "?limit=1"}[path])
			if !strings.Contains(a.body, state) || !strings.Contains(shown.body, state) || len(shown.body) > len(body)+1000 {
				t.Errorf("IN-04 %.60s: %d bytes came back for %d: %.300s", state, len(shown.body), len(body), shown.body)
			}
		}
	}
	for _, number := range []string{"01", "+1", ".5", "1.", "1e", "0x1", "1_0", "NaN", "Infinity", "-Infinity", "--1", "1e1.5", "١", "1,5", strings.Repeat("9", audit.MaxNumber+1)} {
		a := post(t, s, ada, "/audit-logs", `{"action":"a","resourceType":"t","beforeState":{"n":`+number+`}}`)
		if a.status != http.StatusBadRequest && a.status != http.StatusUnprocessableEntity {
			t.Errorf("IN-04 %s: %d %s", number, a.status, a.body)
		}
	}
}

// IN-09 and IN-12: pages at the ends of numbers and patterns that are none to us.
func TestNoParameterIsTooMuch(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	s.Drain()
	seed(t, s, numbered(3)...)
	post(t, s, grace, "/admin/audit-logs", `{"action":"a","details":{"x":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}}`)
	eachQueryParameter(t, func(path string, p *openapi3.Parameter) {
		for _, value := range []string{
			"-1", "0", "00", "01", "1 ", " 1", "1e3", "1.0", "+1", "2147483647", "2147483648", "4294967296", "9007199254740991", "9007199254740992", "9223372036854775807", "9223372036854775808",
			"18446744073709551615", "18446744073709551616", strings.Repeat("9", 400), "-9223372036854775808", "NaN", "١", "１", "0x7fffffff", "1\n", "\u200b1",
			"(a+)+$", strings.Repeat("%_", 128), strings.Repeat(`\`, 200), strings.Repeat("a%", 128), strings.Repeat("x", 10_000), "' OR '1'='1", "'; SELECT pg_sleep(9); --", `\x00`, "$1", "%", "*", "\ufeff", "\u202e",
			"2016-12-31T23:59:60Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59.9999999Z", "2026-01-01T00:00:00+24:00", "-infinity", "infinity", "now", "epoch", "294276-12-31T23:59:59Z",
		} {
			query := p.Name + "=" + url.QueryEscape(value)
			largest := []string{""}
			if p.Name == "page" {
				largest = []string{"", "&per_page=1000", "&limit=100"}
			}
			for _, more := range largest {
				a := get(t, s, of(path), path+"?"+query+more)
				if a.status != http.StatusOK {
					a.problem(t, http.StatusBadRequest)
				} else if strings.HasPrefix(path, "/audit-logs") && strings.HasPrefix(a.header.Get("Content-Type"), "application/json") && read[page](t, a, http.StatusOK).Total > 3 {
					t.Errorf("%s?%s: %s", path, query, a.body)
				}
			}
		}
	})
}

// IN-10: one request is one line, in both forms, whatever it holds.
func TestOneRequestIsOneLineOfTheLog(t *testing.T) {
	t.Parallel()
	forged := "\n{\"level\":\"ERROR\",\"msg\":\"forged\"}\r\nlevel=ERROR msg=forged\x1b[31m\x00\u2028\u2029\u202e\u0085${jndi:ldap://x} \" = ' \\"
	for form, handler := range map[string]func(io.Writer) slog.Handler{
		"text": func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) },
		"json": func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) },
	} {
		var log lines
		logger := slog.New(handler(&log))
		h, err := httpapi.New(httpapi.Options{
			Service: audit.NewService(&brittle{find: func() error { return errors.New(forged) }}), Authenticator: trusting{}, Docs: docs.Handler, Log: logger, Ready: nil,
		})
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewUnstartedServer(h)
		server.Config = httpapi.NewServer(h, logger)
		server.Start()
		s := &testkit.Service{URL: server.URL + httpapi.BasePath, HTTP: server.Client()}
		requests := 0
		call := func(path, body string, headers ...string) {
			requests++
			method := http.MethodGet
			if body != "" {
				method = http.MethodPost
			}
			send(t, s, audit.Principal{}, method, path, body, headers...)
		}
		call("/audit-logs", "")
		call("/"+url.PathEscape(forged), "")
		call("/audit-logs/entries/"+url.PathEscape(forged), "")
		call("/audit-logs/resource/"+url.PathEscape(forged)+"/x", "")
		call("/audit-logs?"+url.QueryEscape(forged)+"=1", "")
		call("/audit-logs?action="+url.QueryEscape(forged), "")
		call("/audit-logs", "", "User-Agent", strings.Map(printableOnly, forged), "Referer", strings.Map(printableOnly, forged))
		call("/audit-logs", "", "X-Request-Id", strings.Map(printableOnly, forged))
		call("/audit-logs", "", "X-Org-Slug", strings.Map(printableOnly, forged))
		call("/audit-logs", `{"action":"a","resourceType":"t",`+string(audit.AppendString(nil, strings.ReplaceAll(forged, "\x00", "")))+`:1}`)
		call("/audit-logs", `{"action":"a","resourceType":"t","afterState":{`+string(audit.AppendString(nil, forged))+`:1}}`)
		call("/audit-logs", strings.Repeat("[", 100_000))
		server.Close() // waits for the lines
		written := strings.Split(strings.TrimSuffix(log.String(), "\n"), "\n")
		if len(written) != requests {
			t.Errorf("%s: %d lines of %d requests:\n%s", form, len(written), requests, log.String())
		}
		for _, line := range written {
			if strings.IndexFunc(line, func(r rune) bool { return r < 0x20 || form == "text" && !unicode.IsPrint(r) }) >= 0 {
				t.Errorf("%s: a line that a terminal or a reader takes for more: %q", form, line)
			}
			if form == "json" && (!json.Valid([]byte(line)) || strings.ContainsAny(line, "\u2028\u2029")) {
				t.Errorf("no JSON: %q", line)
			}
			if len(line) > 16<<10 {
				t.Errorf("%s: a line of %d bytes: %.200s", form, len(line), line)
			}
		}
	}
}

// printableOnly leaves what a header may hold.
func printableOnly(r rune) rune {
	if r < 0x20 || r == 0x7f {
		return -1
	}
	return r
}

// A log line is bounded where what was sent is not.
func TestAFaultUnderALongNameIsALineOfBoundedLength(t *testing.T) {
	t.Parallel()
	var log lines
	s := serve(t, &brittle{}, &log)
	name := strings.Repeat("n", 4000)
	post(t, s, ada, "/audit-logs", `{"action":"a","resourceType":"t","afterState":{"`+name+`":{`+strings.Repeat(`"a":1,"b":[{"x":1,"x":1}],`, 40)+`"a":1}}}`).problem(t, http.StatusUnprocessableEntity)
	post(t, s, ada, "/audit-logs", `{"action":"a","resourceType":"t","`+strings.Repeat("n", 1<<20)+`":1}`).problem(t, http.StatusBadRequest)
	s.HTTP.CloseIdleConnections()
	for line := range strings.Lines(log.String()) {
		if len(line) > 3*audit.MaxPointer {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
	if bytes.Count([]byte(log.String()), []byte("\n")) != 2 {
		t.Errorf("%.500s", log.String())
	}
}
