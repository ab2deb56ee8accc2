package measure

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Statements are the service's own, by name, as sql/queries has them: their parameters
// are @names.
type Statements map[string]string

var (
	statementName = regexp.MustCompile(`(?m)^-- name: (\w+) :\w+$`)
	parameterName = regexp.MustCompile(`@(\w+)`)
)

// ReadStatements reads a folder of queries.
func ReadStatements(folder string) (Statements, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.sql"))
	if err != nil {
		return nil, err
	}
	found := Statements{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		names := statementName.FindAllStringSubmatchIndex(string(text), -1)
		for i, at := range names {
			end := len(text)
			if i+1 < len(names) {
				end = names[i+1][0]
			}
			var statement strings.Builder
			for line := range strings.Lines(string(text[at[1]:end])) {
				if !strings.HasPrefix(line, "--") {
					statement.WriteString(line)
				}
			}
			body, _, _ := strings.Cut(statement.String(), ";")
			found[string(text[at[2]:at[3]])] = strings.TrimSpace(body)
		}
	}
	return found, nil
}

// Script is the statement as pgbench takes it: parameters are its variables, and each is
// of a type that a value alone wouldn't tell.
func (s Statements) Script(name string) (string, error) {
	text, known := s[name]
	if !known {
		return "", fmt.Errorf("sql/queries has no statement %s any more: measure what took its place", name)
	}
	return parameterName.ReplaceAllString(strings.Join(strings.Fields(text), " "), ":$1") + ";\n", nil
}
