package testkit_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "ocore.dev/audit/"

// layers says which packages of ours each package may import. A package that is not
// listed fails the test: give it its place first.
var layers = map[string][]string{
	"gen/api":           {},
	"gen/client":        {},
	"gen/client/trail":  {"gen/client"},
	"gen/client/outbox": {"gen/client/trail"},
	"gen/db":            {},
	"docs":              {},
	"sql/migrations":    {},
	"internal/merkle":   {},
	"internal/audit":    {"internal/merkle"},
	"internal/proof":    {"internal/audit", "internal/merkle"},
	"internal/auth":     {"internal/audit"},
	"internal/metrics":  {},
	"internal/tracing":  {},
	"internal/httpapi": {
		"gen/api", "internal/audit", "internal/merkle", "internal/metrics", "internal/proof", "internal/tracing",
	},
	"internal/postgres": {
		"gen/db", "sql/migrations", "internal/audit", "internal/merkle", "internal/metrics", "internal/tracing",
	},
	"internal/docs":     {"docs"},
	"internal/viewer":   {},
	"internal/embedded": {},
	"internal/importer": {"internal/audit"},
	"internal/compare":  {"internal/audit"},
	"internal/storm": {
		"gen/client/outbox", "gen/client/trail", "internal/audit", "internal/auth", "internal/embedded", "internal/merkle", "internal/postgres", "internal/proof",
	},
	"cmd/ocore-audit": {
		"gen/client/trail", "internal/audit", "internal/auth", "internal/compare", "internal/docs", "internal/embedded", "internal/httpapi", "internal/importer", "internal/metrics", "internal/postgres", "internal/proof", "internal/tracing", "internal/viewer",
	},
	"internal/contract":            {},
	"internal/contract/changes":    {},
	"internal/contract/clients/go": {"gen/client"},
	"internal/testkit/reference":   {},
	"internal/testkit": {
		"gen/client", "internal/audit", "internal/auth", "internal/docs", "internal/embedded", "internal/httpapi", "internal/metrics", "internal/postgres", "internal/proof", "internal/viewer",
	},
}

// guarded says which packages alone may import a library, so that replacing it is a
// change to one package.
var guarded = map[string][]string{
	"github.com/lestrrat-go/jwx":     {"internal/auth"},
	"github.com/labstack/echo":       {"gen/api", "internal/httpapi"},
	"github.com/getkin/kin-openapi":  {"internal/httpapi", "internal/testkit"},
	"github.com/jackc/pgx":           {"gen/client/outbox", "gen/db", "internal/postgres", "internal/embedded", "internal/storm", "internal/testkit"},
	"github.com/pressly/goose":       {"internal/postgres"},
	"github.com/spf13":               {"cmd/ocore-audit"},
	"github.com/transparency-dev":    {"internal/merkle"},
	"golang.org/x/mod":               {"internal/proof", "internal/storm"},
	"github.com/oapi-codegen":        {"gen/api", "gen/client", "internal/testkit/reference"},
	"github.com/fergusstrange":       {"internal/embedded"},
	"github.com/schollz/progressbar": {"cmd/ocore-audit"},
	"github.com/yuin/goldmark":       {"internal/docs"},
	"github.com/prometheus":          {"internal/metrics"},
	"go.opentelemetry.io":            {"internal/tracing"},
	"github.com/rs/cors":             {"internal/httpapi"},
}

// domainLibraries are all that the domain needs beside the standard library.
var domainLibraries = []string{"github.com/google/uuid"}

type listed struct {
	ImportPath string
	Imports    []string
}

func TestLayers(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		allowed, known := layers[name]
		if !known {
			t.Errorf("%s has no place among the layers", name)
		}
		for _, imported := range p.Imports {
			if inner, ours := strings.CutPrefix(imported, module); ours && !slices.Contains(allowed, inner) {
				t.Errorf("%s must not import %s", name, inner)
			}
			for library, importers := range guarded {
				if strings.HasPrefix(imported, library) && !slices.Contains(importers, name) {
					t.Errorf("%s must not import %s: only %v may", name, imported, importers)
				}
			}
			if name == "internal/audit" && strings.Contains(imported, ".") &&
				!strings.HasPrefix(imported, module) && !slices.Contains(domainLibraries, imported) {
				t.Errorf("the domain must not import %s", imported)
			}
		}
	}
}

func packages(t *testing.T) []listed {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", module+"...")
	output, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var found []listed
	for decoder := json.NewDecoder(strings.NewReader(string(output))); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		found = append(found, p)
	}
	if len(found) < len(layers) {
		t.Fatalf("go list found %d packages of %d", len(found), len(layers))
	}
	return found
}
