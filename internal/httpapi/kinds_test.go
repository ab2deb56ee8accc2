package httpapi

import (
	"encoding/json"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ocore.dev/audit/docs"
)

var (
	documentedType = regexp.MustCompile(regexp.QuoteMeta(problemTypes) + `([a-z-]+)`)
	jsonBlock      = regexp.MustCompile("(?s)```json\n(.*?)```")
)

// TestEveryProblemTypeHasAPage holds three lists against each other: what the service can
// answer, what the document names, and what is explained.
func TestEveryProblemTypeHasAPage(t *testing.T) {
	t.Parallel()
	answered := map[string][]kind{}
	for _, k := range append(slices.Clone(kinds), internalError) {
		answered[k.slug] = append(answered[k.slug], k)
	}
	types := maps.Clone(answered)
	for _, found := range documentedType.FindAllSubmatch(documentYAML, -1) {
		if slug := string(found[1]); types[slug] == nil {
			types[slug] = []kind{}
		}
	}
	pages := map[string]string{}
	names, err := fs.Glob(docs.Files, "problems/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(docs.Files, name)
		if err != nil {
			t.Fatal(err)
		}
		pages[strings.TrimSuffix(path.Base(name), ".md")] = string(text)
	}
	index := pages["README"]
	delete(pages, "README")
	for slug := range types {
		if pages[slug] == "" {
			t.Errorf("%s has no page: write docs/problems/%s.md", slug, slug)
		}
		if !strings.Contains(index, "]("+slug+".md)") {
			t.Errorf("docs/problems/README.md doesn't list %s", slug)
		}
	}
	for slug, text := range pages {
		if types[slug] == nil {
			t.Errorf("docs/problems/%s.md explains a type that there isn't", slug)
		}
		if !strings.Contains(text, problemTypes+slug) || !strings.Contains(text, "**Stored:**") || !strings.Contains(text, "**Send it again?**") {
			t.Errorf("docs/problems/%s.md doesn't say its type, what was stored, and whether to send again", slug)
		}
		examples := jsonBlock.FindAllStringSubmatch(text, -1)
		if len(examples) == 0 {
			t.Errorf("docs/problems/%s.md has no example", slug)
		}
		for _, example := range examples {
			var p problem
			if err := json.Unmarshal([]byte(example[1]), &p); err != nil {
				t.Errorf("docs/problems/%s.md: %v", slug, err)
			}
			checkExample(t, slug, p, answered[slug])
		}
	}
}

// checkExample holds an example against the table, where no test can cause the problem;
// the others are replayed.
func checkExample(t *testing.T, slug string, p problem, answered []kind) {
	t.Helper()
	if p.Type != problemTypes+slug {
		t.Errorf("docs/problems/%s.md shows a %s", slug, p.Type)
	}
	for _, k := range answered {
		if p.Title == k.title && p.Status == k.status && (p.Status < 500 || strings.HasSuffix(p.Detail, k.detail)) {
			return
		}
	}
	if len(answered) > 0 {
		t.Errorf("docs/problems/%s.md: the service doesn't answer %+v", slug, p)
	}
}
