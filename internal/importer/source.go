package importer

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// source is one file, or stdin.
type source struct {
	name string
	open func() (io.ReadCloser, error)
	only bool // all that was asked for, by its own name
}

// findSources lists what the paths hold, each file once, and the links not followed.
func findSources(paths []string, stdin io.Reader) (sources []source, unfollowed []Rejected, err error) {
	if len(paths) == 0 {
		paths = []string{"-"}
	}
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
		files, links, err := expand(path)
		if err != nil {
			return nil, nil, err
		}
		unfollowed = append(unfollowed, links...)
		for _, file := range files {
			add(resolve(file), source{name: file, open: func() (io.ReadCloser, error) { return os.Open(file) }})
		}
	}
	if len(paths) == 1 && len(sources) == 1 {
		sources[0].only = paths[0] == "-" || paths[0] == sources[0].name
	}
	return sources, unfollowed, nil
}

// resolve returns the same path for a file however it is reached. What can't be resolved
// stays what it is: a pipe that a shell made (/dev/fd/63) is a link to no path.
func resolve(file string) string {
	if target, err := filepath.EvalSymlinks(file); err == nil {
		file = target
	}
	if absolute, err := filepath.Abs(file); err == nil {
		file = absolute
	}
	return file
}

// expand returns the path itself, or what a folder holds at any depth.
func expand(path string) (files []string, unfollowed []Rejected, err error) {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return []string{path}, nil, err
	}
	files, links, err := walk(path)
	if err != nil {
		return nil, nil, err
	}
	files, unfollowed = follow(files, links)
	slices.SortFunc(files, byPath)
	return files, unfollowed, nil
}

func walk(folder string) (files, links []string, err error) {
	err = fs.WalkDir(os.DirFS(folder), ".", func(inside string, entry fs.DirEntry, err error) error {
		file := filepath.Join(folder, filepath.FromSlash(inside))
		switch hidden := inside != "." && strings.HasPrefix(entry.Name(), "."); {
		case err != nil:
			return fmt.Errorf("%s: %w", folder, err)
		case hidden && entry.IsDir():
			return fs.SkipDir
		case hidden:
		case entry.Type().IsRegular():
			files = append(files, file)
		case entry.Type()&fs.ModeSymlink != 0:
			links = append(links, file)
		}
		return nil
	})
	return files, links, err
}

// follow adds the links to regular files. One to a file of the same folder adds nothing:
// where its name stands (latest before page-1) is not where the file's records do.
func follow(files, links []string) (all []string, unfollowed []Rejected) {
	if len(links) == 0 {
		return files, nil
	}
	known := map[string]bool{}
	for _, file := range files {
		known[resolve(file)] = true
	}
	for _, link := range links {
		switch info, err := os.Stat(link); {
		case err != nil:
			unfollowed = append(unfollowed, Rejected{Place: link, Reason: "is a link that can't be followed: " + err.Error()})
		case !info.Mode().IsRegular():
			unfollowed = append(unfollowed, Rejected{Place: link, Reason: "is a link, but not to a regular file"})
		case !known[resolve(link)]:
			files = append(files, link)
		}
	}
	return files, unfollowed
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
