package testkit_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// licences are those that the binary may be made of, by words that no other has.
var licences = []struct {
	name  string
	words []string
}{
	{"Apache-2.0", []string{"Apache License", "Version 2.0"}},
	{"MPL-2.0", []string{"Mozilla Public License, version 2.0"}},
	{"ISC", []string{"Permission to use, copy, modify, and", "THE SOFTWARE IS PROVIDED \"AS IS\""}},
	{"MIT", []string{"Permission is hereby granted, free of charge"}},
	{"BSD-3-Clause", []string{"Redistribution and use in source and binary forms", "may be used to endorse or promote"}},
	{"public domain", []string{"into the public domain"}},
	{"BSD-2-Clause", []string{"Redistribution and use in source and binary forms", "this list of conditions"}},
}

// licenceOf reads the licence of the module in the folder, "" if it is none of the known.
func licenceOf(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "[Ll][Ii][Cc][Ee][Nn][CcSs][Ee]*"))
	if err != nil || len(files) == 0 {
		return ""
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Join(bytes.Fields(text), []byte(" "))
	for _, licence := range licences {
		if !slices.ContainsFunc(licence.words, func(word string) bool { return !bytes.Contains(text, []byte(word)) }) {
			return licence.name
		}
	}
	return ""
}

// goTool runs the go command in the repository and returns what it prints.
func goTool(t *testing.T, arguments ...string) []byte {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", arguments...)
	command.Dir = "../.."
	output, err := command.Output()
	if err != nil {
		t.Fatalf("go %v: %v", arguments, err)
	}
	return output
}

var dependencyRow = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (\\S+) \\| (\\S+) \\| (\\S+) \\| (.+) \\| .*\\|$")

// The list of docs/dependencies.md is go.mod's, with the dates and licences of the modules.
func TestEveryDirectDependencyIsListed(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string][]string{}
	var order []string
	for _, row := range dependencyRow.FindAllStringSubmatch(string(text), -1) {
		listed[row[1]] = row[2:]
		order = append(order, row[1])
	}
	if !slices.IsSorted(order) {
		t.Errorf("the list is not in order: %v", order)
	}
	var mod struct {
		Require []struct {
			Path, Version string
			Indirect      bool
		}
	}
	if err := json.Unmarshal(goTool(t, "mod", "edit", "-json"), &mod); err != nil {
		t.Fatal(err)
	}
	direct := 0
	for _, required := range mod.Require {
		if required.Indirect {
			continue
		}
		direct++
		var module struct{ Dir, Info string }
		if err := json.Unmarshal(goTool(t, "mod", "download", "-json", required.Path+"@"+required.Version), &module); err != nil {
			t.Fatal(err)
		}
		var released struct{ Time string }
		if info, err := os.ReadFile(module.Info); err != nil || json.Unmarshal(info, &released) != nil || len(released.Time) < len("2006-01-02") {
			t.Fatalf("%s: %v", module.Info, err)
		}
		want := []string{required.Version, released.Time[:len("2006-01-02")], licenceOf(t, module.Dir)}
		if row := listed[required.Path]; len(row) == 0 || !slices.Equal(row[:3], want) {
			t.Errorf("docs/dependencies.md: %s is %v, want %v and a reason", required.Path, row, want)
		}
	}
	if direct == 0 || direct != len(listed) {
		t.Errorf("%d modules are listed, %d are required", len(listed), direct)
	}
}

// What is linked into the binary, directly or not, has a licence that lets it be.
func TestTheBinaryIsMadeOfKnownLicences(t *testing.T) {
	t.Parallel()
	const form = "{{with .Module}}{{if not .Main}}{{.Path}} {{.Dir}}{{end}}{{end}}"
	output := goTool(t, "list", "-deps", "-f", form, "./cmd/ocore-audit")
	modules := map[string]string{}
	for line := range strings.Lines(string(output)) {
		if path, dir, found := strings.Cut(strings.TrimSpace(line), " "); found {
			modules[path] = dir
		}
	}
	for path, dir := range modules {
		if licenceOf(t, dir) == "" {
			t.Errorf("%s has no licence that is known: %s", path, dir)
		}
	}
	if len(modules) < 10 {
		t.Errorf("%d modules", len(modules))
	}
}
