// Command changes fails when one document breaks clients of another, earlier one, unless
// the break is named:
//
//	changes [-exactly] EARLIER LATER NAMES
//
// oasdiff finds the breaks. severities.txt adds what it takes for harmless on the wire
// and clients don't: a name that generators use goes, or something that a person reads or
// sends. NAMES is a Markdown text, of which, if it is a changelog, only the section
// "Breaking" under "Unreleased" counts. A break is named by a list item that begins with
// its line as this command prints it; the reason may follow. Line breaks don't matter.
//
// With -exactly every item must also name a break that there is: so what the customer's
// reference can't say, such as a bound, is a list that shrinks and grows in plain sight.
//
// At a release, copy openapi.yaml to internal/contract/released.yaml.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

func main() {
	exactly := flag.Bool("exactly", false, "fail when a name is that of no break, too")
	flag.Parse()
	if flag.NArg() != 3 {
		fmt.Fprintln(os.Stderr, "usage: changes [-exactly] EARLIER LATER NAMES")
		os.Exit(2)
	}
	earlier, later, names := flag.Arg(0), flag.Arg(1), flag.Arg(2)
	text, err := os.ReadFile(names)
	if err != nil {
		fail(err)
	}
	found, err := compare(".", earlier, later)
	if err != nil {
		fail(err)
	}
	if err := judge(found, string(text), *exactly); err != nil {
		fail(fmt.Errorf("%s against %s, by %s: %w", later, earlier, names, err))
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// judge says which breaks the text doesn't name, or with exactly which of its names are
// those of no break.
func judge(found []breaking, text string, exactly bool) error {
	unused := items(text)
	var unnamed []string
	for _, b := range found {
		i := slices.IndexFunc(unused, func(item string) bool { return strings.HasPrefix(item, b.String()) })
		if i < 0 {
			unnamed = append(unnamed, b.String())
		} else {
			unused = slices.Delete(unused, i, i+1)
		}
	}
	switch {
	case len(unnamed) > 0:
		return fmt.Errorf("undo what breaks clients, or name it if it is meant:\n- %s", strings.Join(unnamed, "\n- "))
	case exactly && len(unused) > 0:
		return fmt.Errorf("take out what isn't so any more:\n- %s", strings.Join(unused, "\n- "))
	}
	return nil
}

// breaking is a change that breaks clients, as oasdiff tells it.
type breaking struct {
	ID        string `json:"id"`
	Level     int    `json:"level"`
	Operation string `json:"operation"`
	Path      string `json:"path"`
	Text      string `json:"text"`
}

const levelError = 3

func (b breaking) String() string {
	at := strings.TrimSpace(b.Operation + " " + b.Path)
	if at == "" {
		at = "the document"
	}
	return strings.Join(strings.Fields("`"+b.ID+"` in `"+at+"`: "+b.Text), " ")
}

// compare asks the oasdiff of the repository at root.
func compare(root, earlier, later string) ([]breaking, error) {
	command := exec.CommandContext(context.Background(), "go", "tool", "-modfile=internal/tools/go.mod", "oasdiff", "breaking", earlier, later,
		"--severity-levels", "internal/contract/changes/severities.txt", "--format", "json")
	command.Dir = root
	output, err := command.Output()
	if err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			return nil, fmt.Errorf("oasdiff: %w: %s", err, failed.Stderr)
		}
		return nil, fmt.Errorf("oasdiff: %w", err)
	}
	var all, found []breaking
	if err := json.Unmarshal(output, &all); err != nil {
		return nil, fmt.Errorf("oasdiff answers what isn't JSON: %w", err)
	}
	for _, b := range all {
		if b.Level >= levelError {
			found = append(found, b)
		}
	}
	return found, nil
}

// items are the list items of a text, or of the section of a changelog that counts, each
// with its white space made single spaces.
func items(text string) []string {
	if _, unreleased, isChangelog := strings.Cut(text, "\n## Unreleased\n"); isChangelog {
		unreleased, _, _ = strings.Cut(unreleased, "\n## ")
		_, text, _ = strings.Cut(unreleased, "\n### Breaking\n")
		text, _, _ = strings.Cut(text, "\n### ")
	}
	var found []string
	for line := range strings.Lines(text) {
		words := strings.Join(strings.Fields(line), " ")
		switch {
		case strings.HasPrefix(line, "- "):
			found = append(found, strings.TrimPrefix(words, "- "))
		case strings.HasPrefix(line, "  ") && len(found) > 0:
			found[len(found)-1] += " " + words
		}
	}
	return found
}
