package importer

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// source is one file, or stdin.
type source struct {
	name string
	open func() (io.ReadCloser, error)
	only bool // all that was asked for, by its own name
}

// findSources lists what the paths hold, each file once.
func findSources(paths []string, stdin io.Reader) ([]source, error) {
	if len(paths) == 0 {
		paths = []string{"-"}
	}
	var sources []source
	seen := map[string]bool{}
	add := func(key string, s source) {
		if !seen[key] {
			sources = append(sources, s)
		}
		seen[key] = true
	}
	for _, path := range paths {
		if path == "-" {
			add(path, source{name: "stdin", open: func() (io.ReadCloser, error) { return io.NopCloser(stdin), nil }})
			continue
		}
		files, err := expand(path)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			absolute, err := filepath.Abs(file)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			add(absolute, source{name: file, open: func() (io.ReadCloser, error) { return os.Open(file) }})
		}
	}
	if len(paths) == 1 && len(sources) == 1 {
		sources[0].only = paths[0] == "-" || paths[0] == sources[0].name
	}
	return sources, nil
}

// expand returns the path itself, or what a folder holds at any depth.
func expand(path string) (files []string, err error) {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return []string{path}, err
	}
	err = fs.WalkDir(os.DirFS(path), ".", func(inside string, entry fs.DirEntry, err error) error {
		switch hidden := inside != "." && strings.HasPrefix(entry.Name(), "."); {
		case err != nil:
			return fmt.Errorf("%s: %w", path, err)
		case hidden && entry.IsDir():
			return fs.SkipDir
		case !hidden && entry.Type().IsRegular():
			files = append(files, filepath.Join(path, filepath.FromSlash(inside)))
		}
		return nil
	})
	return files, err
}

// read hands the content to use: decompressed, and without a byte order mark.
func (s source) read(use func(content *bufio.Reader) error) error {
	file, err := s.open()
	if err != nil {
		return err
	}
	defer file.Close()
	content := bufio.NewReader(file)
	if begins(content, "\x1f\x8b") {
		unzipped, err := gzip.NewReader(content)
		if err != nil {
			return err
		}
		content = bufio.NewReader(unzipped)
	}
	if mark := "\ufeff"; begins(content, mark) {
		if _, err := content.Discard(len(mark)); err != nil {
			return err
		}
	}
	return use(content)
}

func begins(content *bufio.Reader, prefix string) bool {
	head, _ := content.Peek(len(prefix)) // an error comes again when the content is read
	return string(head) == prefix
}
