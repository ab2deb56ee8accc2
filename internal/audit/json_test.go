package audit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"ocore.dev/audit/internal/audit"
)

func TestCompactObjectRemovesWhiteSpaceAndNothingElse(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		"{}":                                   `{}`,
		" \t\r\n{ \t\r\n} \t\r\n":              `{}`,
		`{"b" : 1 , "a" : [ 2 , [ ] , { } ] }`: `{"b":1,"a":[2,[],{}]}`,
		`{"":{"":""}}`:                         `{"":{"":""}}`,
		`{" a b ":" \t c "}`:                   `{" a b ":" \t c "}`,
		`{"t":true , "f":false,"n": null}`:     `{"t":true,"f":false,"n":null}`,
		`{"n":[0,-0,0.10,1e5,1E+05,-1.50e-0,9007199254740993,1e400,123456789012345678901234567890.000]}`: `{"n":[0,-0,0.10,1e5,1E+05,-1.50e-0,9007199254740993,1e400,123456789012345678901234567890.000]}`,
		`{"e":"\u00e9\/\"\\\b\f\n\r\t\u003c<\ud83d\ude00\uD83D\uDE00"}`:                                  `{"e":"\u00e9\/\"\\\b\f\n\r\t\u003c<\ud83d\ude00\uD83D\uDE00"}`,
		"{\"é\":\"é😀\u2028\ufffd\ufeff\x7f\"}":                                                           "{\"é\":\"é😀\u2028\ufffd\ufeff\x7f\"}",
		`{"z":1,"a":2,"A":3,"\u0061a":4}`:                                                                `{"z":1,"a":2,"A":3,"\u0061a":4}`,
		`{"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]}`:                                                      `{"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]}`,
	} {
		got, err := audit.CompactObject([]byte("before"), []byte(source), audit.MaxDepth)
		if err != nil || string(got) != "before"+want {
			t.Errorf("CompactObject(%s) = %s, %v; want %s", source, got, err, want)
		}
	}
}

// refusal is where and how a text is refused.
type refusal struct {
	source    string
	pointer   string
	malformed bool // no JSON object at all, rather than one that our rules refuse
}

func TestCompactObjectRefuses(t *testing.T) {
	t.Parallel()
	const notJSON, ruledOut = true, false
	nested := func(levels int) string {
		return strings.Repeat(`{"a":`, levels-1) + "{}" + strings.Repeat("}", levels-1)
	}
	for name, cases := range map[string][]refusal{
		"what is no object": {
			{"", "", notJSON},
			{" ", "", notJSON},
			{"null", "", notJSON},
			{"[]", "", notJSON},
			{`"{}"`, "", notJSON},
			{"1", "", notJSON},
			{"\ufeff{}", "", notJSON},
			{"\x00{}", "", notJSON},
			{"\u00a0{}", "", notJSON},
		},
		"bytes after the end": {
			{"{} {}", "", notJSON},
			{"{}}", "", notJSON},
			{"{},", "", notJSON},
			{"{}\x00", "", notJSON},
			{"{}\ufeff", "", notJSON},
			{"{}//", "", notJSON},
		},
		"broken structure": {
			{"{", "", notJSON},
			{`{"a"`, "/a", notJSON},
			{`{"a":`, "/a", notJSON},
			{`{"a":1`, "", notJSON},
			{`{"a":1,`, "", notJSON},
			{`{"a":1,}`, "", notJSON},
			{`{,}`, "", notJSON},
			{`{a:1}`, "", notJSON},
			{`{'a':1}`, "", notJSON},
			{`{"a" 1}`, "/a", notJSON},
			{`{"a"::1}`, "/a", notJSON},
			{`{"a":1 "b":2}`, "", notJSON},
			{`{"a":1]`, "", notJSON},
			{`{"a":[1}`, "/a", notJSON},
			{`{"a":[1,]}`, "/a/1", notJSON},
			{`{"a":[,1]}`, "/a/0", notJSON},
			{`{"a":[1 2]}`, "/a", notJSON},
			{`{"a":/**/1}`, "/a", notJSON},
		},
		"words": {
			{`{"a":True}`, "/a", notJSON},
			{`{"a":nul}`, "/a", notJSON},
			{`{"a":nullx}`, "", notJSON},
			{`{"a":undefined}`, "/a", notJSON},
			{`{"a":NaN}`, "/a", notJSON},
			{`{"a":-Infinity}`, "/a", notJSON},
		},
		"numbers": {
			{`{"a":01}`, "/a", notJSON},
			{`{"a":-01}`, "/a", notJSON},
			{`{"a":00}`, "/a", notJSON},
			{`{"a":+1}`, "/a", notJSON},
			{`{"a":.5}`, "/a", notJSON},
			{`{"a":-.5}`, "/a", notJSON},
			{`{"a":1.}`, "/a", notJSON},
			{`{"a":1.e5}`, "/a", notJSON},
			{`{"a":1e}`, "/a", notJSON},
			{`{"a":1e+}`, "/a", notJSON},
			{`{"a":-}`, "/a", notJSON},
			{`{"a":0x10}`, "", notJSON},
			{`{"a":1_000}`, "", notJSON},
			{`{"a":1.2.3}`, "", notJSON},
			{`{"a":１}`, "/a", notJSON},
			{`{"a":` + strings.Repeat("9", 65) + `}`, "/a", ruledOut},
			{`{"a":[0,-1.` + strings.Repeat("0", 62) + `]}`, "/a/1", ruledOut},
			{`{"a":1e` + strings.Repeat("0", 1<<20) + `}`, "/a", ruledOut},
		},
		"strings": {
			{`{"a":"`, "/a", notJSON},
			{`{"a":"\`, "/a", notJSON},
			{`{"a":"\"}`, "/a", notJSON},
			{`{"a":"\u00e"}`, "/a", notJSON},
			{`{"a":"\u00eg"}`, "/a", notJSON},
			{`{"a":"\U00e9"}`, "/a", notJSON},
			{`{"a":"\x41"}`, "/a", notJSON},
			{`{"a":"\'"}`, "/a", notJSON},
			{"{\"a\":\"\n\"}", "/a", notJSON},
			{"{\"a\":\"\x1f\"}", "/a", notJSON},
			{"{\"a\":\"\x00\"}", "/a", notJSON},
			{"{\"a\":\"\x80\"}", "/a", notJSON},
			{"{\"a\":\"\xc0\xaf\"}", "/a", notJSON},         // overlong
			{"{\"a\":\"\xed\xa0\x80\"}", "/a", notJSON},     // a surrogate in UTF-8
			{"{\"a\":\"\xf4\x90\x80\x80\"}", "/a", notJSON}, // above U+10FFFF
			{"{\"a\":\"\xe2\x82\"}", "/a", notJSON},         // cut
			{"{\"\xff\":1}", "", notJSON},
			{`{"a":"\u0000"}`, "/a", ruledOut},
			{`{"a":["b\u0000"]}`, "/a/0", ruledOut},
			{`{"b":{"\u0000":1}}`, "/b", ruledOut},
			{`{"a":"\ud800"}`, "/a", ruledOut},
			{`{"a":"\udc00"}`, "/a", ruledOut},
			{`{"a":"\udc00\ud800"}`, "/a", ruledOut},
			{`{"a":"\ud83d\ud83d\ude00"}`, "/a", ruledOut},
			{`{"a":"\ud83dx\ude00"}`, "/a", ruledOut},
			{`{"a":"\ud83d\n"}`, "/a", ruledOut},
			{`{"\ud800":1}`, "", ruledOut},
		},
		"duplicate keys": {
			{`{"a":1,"a":1}`, "/a", ruledOut},
			{`{"":1,"":1}`, "/", ruledOut},
			{`{"a":1,"\u0061":2}`, "/a", ruledOut},
			{`{"\/":1,"/":2}`, "/~1", ruledOut},
			{`{"😀":1,"\ud83d\ude00":2}`, "/😀", ruledOut},
			{`{"a":[{},{"b":{"c":1,"d":2,"c":3}}]}`, "/a/1/b/c", ruledOut},
			{`{"x/y":{"~":{"~1":[[],[0,{"k":1,"k":2}]]}}}`, "/x~1y/~0/~01/1/1/k", ruledOut},
		},
		"depth": {
			{nested(33), strings.Repeat("/a", 32), ruledOut},
			{`{"a":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + `}`, "/a" + strings.Repeat("/0", 31), ruledOut},
			{nested(10_001), strings.Repeat("/a", 32), ruledOut},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, c := range cases {
				_, err := audit.CompactObject(nil, []byte(c.source), audit.MaxDepth)
				var fault *audit.JSONError
				if !errors.As(err, &fault) || fault.Malformed != c.malformed || fault.Pointer != c.pointer || fault.Reason == "" {
					t.Errorf("CompactObject(%.80q) = %#v; want malformed %t at %q", c.source, err, c.malformed, c.pointer)
				}
			}
		})
	}
}

func TestCompactObjectAcceptsEverythingAtItsBounds(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]string{
		"32 objects":     strings.Repeat(`{"a":`, 31) + "{}" + strings.Repeat("}", 31),
		"31 lists":       `{"a":` + strings.Repeat("[", 31) + strings.Repeat("]", 31) + `}`,
		"levels again":   `{"a":[` + strings.Repeat(strings.Repeat("[", 30)+strings.Repeat("]", 30)+",", 50) + `0]}`,
		"64 digits":      `{"a":` + strings.Repeat("9", 64) + `}`,
		"64 with a sign": `{"a":-1.` + strings.Repeat("0", 61) + `}`,
		"a long key":     `{"` + strings.Repeat("k", 1<<20) + `":1}`,
	} {
		if got, err := audit.CompactObject(nil, []byte(source), audit.MaxDepth); err != nil || string(got) != source {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A fifth of a second at most without the race detector. The bound leaves room for that and
// for a busy machine, and none for anything that isn't linear.
func TestCompactObjectTakesBoundedTime(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	var keys strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&keys, `"%x":0,`, i)
	}
	for name, source := range map[string]string{
		"open brackets":  `{"a":` + strings.Repeat("[", size),
		"open objects":   strings.Repeat(`{"a":`, size/5),
		"small elements": `{"a":[` + strings.Repeat("0,", size/2) + `0]}`,
		"empty objects":  `{"a":[` + strings.Repeat("{},", size/3) + `0]}`,
		"100,000 keys":   `{` + keys.String() + `"last":0}`,
		"escapes":        `{"a":"` + strings.Repeat(`\n`, size/2) + `"}`,
		"white space":    `{` + strings.Repeat(" ", size) + `}`,
		"a number":       `{"a":` + strings.Repeat("9", size) + `}`,
		"long path":      strings.Repeat(`{"`+strings.Repeat("~", size/40)+`":`, 31) + "x",
	} {
		begun := time.Now()
		_, _ = audit.CompactObject(nil, []byte(source), audit.MaxDepth)
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
	}
}

func TestAppendStringWritesTheFormOfRFC8785(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"":                    `""`,
		"a/b<&>'é😀\u2028\x7f": "\"a/b<&>'é😀\u2028\x7f\"",
		"\"\\":                `"\"\\"`,
		"\b\f\n\r\t":          `"\b\f\n\r\t"`,
		"\x01\x0b\x1f":        `"\u0001\u000b\u001f"`,
	} {
		if got := string(audit.AppendString(nil, value)); got != want {
			t.Errorf("AppendString(%q) = %s; want %s", value, got, want)
		}
	}
}

func FuzzCompactObject(f *testing.F) {
	for _, seed := range []string{
		`{}`, ` { "a" : [ 1 , -0.5e+3 , true , null , "\u00e9\ud83d\ude00" ] } `, `{"a":1,"\u0061":2}`, `{"a":"\ud800"}`, `{"a":"\u0000"}`,
		`{"a":01}`, `{"a":[1,]}`, `{"a":1}}`, "{\"a\":\"\xff\"}", "\ufeff{}", `{"a":nul`, `{"a":"\`, `{"a":1e`, strings.Repeat(`{"a":[`, 17), `{"<&>":"` + "\u2028" + `"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, source []byte) {
		got, err := audit.CompactObject(nil, source, audit.MaxDepth)
		isObject := json.Valid(source) && bytes.TrimLeft(source, " \t\r\n")[0] == '{' && utf8.Valid(source)
		if err != nil {
			var fault *audit.JSONError
			if !errors.As(err, &fault) || fault.Malformed && isObject || fault.Pointer != "" && fault.Pointer[0] != '/' {
				t.Fatalf("refused %q: %#v", source, err)
			}
			return
		}
		var want bytes.Buffer
		if !isObject || json.Compact(&want, source) != nil || !bytes.Equal(got, want.Bytes()) {
			t.Fatalf("CompactObject(%q) = %q; want %q", source, got, want.Bytes())
		}
	})
}
