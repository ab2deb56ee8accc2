//go:build oasdiff

// These tests run oasdiff, which the tools' module builds: `make changes` runs them.

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	root      = "../../.."
	released  = "internal/contract/released.yaml"
	reference = "internal/testkit/reference.yaml"
)

// Each edit is one that somebody could make without thinking of clients, as pairs of what
// stands in the document and what would replace it.
var breakingEdits = map[string][]string{
	"a property is removed": {`        resourceName:
          type: string
          description: What people call it.
          pattern: '^[^\x00]*$'
          maxLength: 1024
          example: Shop front end
`, ""},
	"a required property is removed": {"      required: [items, page, perPage, total]\n", "      required: [items, page, perPage]\n"},
	"a parameter is narrowed":        {"        maximum: 1000\n      example: 2\n", "        maximum: 500\n      example: 2\n"},
	"a parameter is removed": {`        - $ref: '#/components/parameters/CursorToken'
        - $ref: '#/components/parameters/ResourceTypeFilter'
`, `        - $ref: '#/components/parameters/CursorToken'
`},
	"a parameter is renamed":     {"      name: user_id\n", "      name: userId\n"},
	"an operation is renamed":    {"      operationId: getAuditLog\n", "      operationId: readAuditLog\n"},
	"a path is renamed":          {"  /audit-logs/entries/{id}:\n", "  /audit-logs/entry/{id}:\n"},
	"a member becomes required":  {"      required: [action, resourceType]\n", "      required: [action, resourceType, userId]\n"},
	"a choice is taken away":     {"      enum: [json, csv]\n", "      enum: [json]\n"},
	"a status is no longer told": {"        '505':\n          $ref: '#/components/responses/VersionNotSupported'\n", ""},
}

func TestABreakingChangeFailsUnlessTheChangelogNamesIt(t *testing.T) {
	for name, edit := range breakingEdits {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found := breaks(t, released, edited(t, released, edit))
			err := judge(found, "# Changelog\n\n## Unreleased\n\n### Added\n\n- Things.\n", false)
			if err == nil {
				t.Fatal("passes unnamed")
			}
			_, lines, _ := strings.Cut(err.Error(), ":\n")
			named := "# Changelog\n\n## Unreleased\n\n### Breaking\n\n" + wrapped(lines) + "\n  for a reason\n\n### Added\n\n- Things.\n"
			if err := judge(found, named, false); err != nil {
				t.Errorf("named, and fails still: %v", err)
			}
			for where, text := range map[string]string{
				"under another release": "# Changelog\n\n## Unreleased\n\n### Added\n\n- Things.\n\n## 0.1.0\n\n### Breaking\n\n" + lines + "\n",
				"under another heading": "# Changelog\n\n## Unreleased\n\n### Added\n\n" + lines + "\n",
				"but for its last":      "# Changelog\n\n## Unreleased\n\n### Breaking\n\n" + ("\n" + lines)[:strings.LastIndex("\n"+lines, "\n- ")] + "\n",
			} {
				if judge(found, text, false) == nil {
					t.Errorf("named %s, it passes", where)
				}
			}
		})
	}
}

func TestAnAdditionPasses(t *testing.T) {
	t.Parallel()
	if found := breaks(t, released, edited(t, released, []string{
		"      required: [id, position, createdAt, existing]\n      properties:\n",
		"      required: [id, position, createdAt, existing]\n      properties:\n        leafHash:\n          type: string\n",
		"        maximum: 1000\n      example: 2\n", "        maximum: 2000\n      example: 2\n",
	})); len(found) > 0 {
		t.Error(found)
	}
}

// What the reference promises can't be broken, whatever a changelog says: its list has
// its own bounds and holds nothing that isn't so.
func TestTheReferenceIsNeverBroken(t *testing.T) {
	t.Parallel()
	silence := read(t, "internal/contract/silence.md")
	found := breaks(t, reference, read(t, "openapi.yaml"))
	if err := judge(found, silence, true); err != nil {
		t.Fatal(err)
	}
	if judge(found, silence+"- `request-parameter-max-set` in `GET /gone`: for nothing\n", true) == nil {
		t.Error("a line that names nothing passes")
	}
	for _, name := range []string{"a property is removed", "a parameter is removed", "a parameter is renamed", "a parameter is narrowed"} {
		if judge(breaks(t, reference, edited(t, "openapi.yaml", breakingEdits[name])), silence, true) == nil {
			t.Errorf("%s, and the reference isn't broken", name)
		}
	}
}

func TestADocumentThatIsNoneFails(t *testing.T) {
	t.Parallel()
	if found, err := compare(root, "openapi.yaml", write(t, "openapi: 3.0.3\npaths: [")); err == nil {
		t.Errorf("%v", found)
	}
}

func breaks(t *testing.T, earlier, later string) []breaking {
	t.Helper()
	found, err := compare(root, earlier, write(t, later))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// wrapped breaks lines as an editor would.
func wrapped(lines string) string { return strings.ReplaceAll(lines, ": ", ":\n  ") }

func edited(t *testing.T, file string, pairs []string) string {
	t.Helper()
	text := read(t, file)
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("%s has no %q: give the test a place that it has", file, pairs[i])
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	return text
}

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func write(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "openapi.yaml")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
