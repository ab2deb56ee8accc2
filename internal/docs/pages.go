package docs

import (
	"embed"
	"io/fs"
	"path"
	"strings"

	text "ocore.dev/audit/docs"
)

//go:embed assets
var assets embed.FS

// swaggerUI are Swagger UI's files, compressed when they were vendored: they are large.
//
//go:embed swagger-ui/*.gz
var swaggerUI embed.FS

var contentTypes = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
	".svg": "image/svg+xml",
}

// loadPages makes every answer, by path.
func loadPages() (map[string]*file, error) {
	pages := map[string]*file{}
	pack := newPacker()
	add := func(at, contentType string, body []byte) (err error) {
		pages[at], err = pack.file(contentType, body)
		return err
	}
	articles, err := loadArticles()
	if err != nil {
		return nil, err
	}
	s := site{listed(articles, "README.md"), listed(articles, "problems/README.md")}
	const page = "text/html; charset=utf-8"
	if err := add("/docs", page, s.referencePage()); err != nil {
		return nil, err
	}
	for _, a := range articles {
		if err := add(a.path, page, s.articlePage(a)); err != nil {
			return nil, err
		}
	}
	err = eachFile(text.Files, func(name string, body []byte) error {
		if path.Ext(name) == ".md" {
			return nil
		}
		return add(servedImage(name), contentTypes[path.Ext(name)], body)
	})
	if err != nil {
		return nil, err
	}
	const under = "/docs/assets/"
	err = eachFile(assets, func(name string, body []byte) error {
		return add(under+path.Base(name), contentTypes[path.Ext(name)], body)
	})
	if err != nil {
		return nil, err
	}
	return pages, eachFile(swaggerUI, func(name string, body []byte) error {
		name = strings.TrimSuffix(path.Base(name), ".gz")
		pages[under+name] = gzippedFile(contentTypes[path.Ext(name)], body)
		return nil
	})
}

func loadArticles() (map[string]*article, error) {
	articles := map[string]*article{}
	return articles, eachFile(text.Files, func(name string, body []byte) (err error) {
		if path.Ext(name) != ".md" {
			return nil
		}
		articles[name], err = newArticle(name, body)
		return err
	})
}

// listed are the articles that an index links to from below it, in its order.
func listed(articles map[string]*article, index string) []*article {
	byPath := map[string]*article{}
	for _, a := range articles {
		byPath[a.path] = a
	}
	var found []*article
	for _, link := range articles[index].links {
		if a := byPath[link]; a != nil && path.Dir(link) == articles[index].path {
			found = append(found, a)
		}
	}
	return found
}

func eachFile(files fs.FS, do func(name string, body []byte) error) error {
	return fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		return do(name, body)
	})
}
