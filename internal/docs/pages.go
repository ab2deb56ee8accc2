package docs

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
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

//go:embed page.html
var pageHTML string

var layout = template.Must(template.New("page").Parse(pageHTML))

var contentTypes = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
	".svg": "image/svg+xml",
}

// view is what the layout shows.
type view struct {
	Path     string
	Title    string
	Article  template.HTML // empty on the reference page
	Guides   []*article
	Problems []*article
}

// To is the link from this page to a path of the service.
func (v view) To(path string) string { return relative(v.Path, path) }

// Section says which part of the navigation the page belongs to.
func (v view) Section() string {
	for _, section := range []string{"guides", "problems"} {
		if strings.HasPrefix(v.Path, "/docs/"+section) {
			return section
		}
	}
	return "reference"
}

// loadPages makes every answer, by path.
func loadPages() (map[string]*file, error) {
	pages := map[string]*file{}
	if err := addAssets(pages); err != nil {
		return nil, err
	}
	articles, err := loadArticles()
	if err != nil {
		return nil, err
	}
	views := []view{{Path: "/docs", Title: "API reference"}}
	for _, a := range articles {
		views = append(views, view{Path: a.Path, Title: a.Title, Article: template.HTML(a.html)}) //nolint:gosec // rendered from files of ours
	}
	guides, problems := listed(articles, "README.md"), listed(articles, "problems/README.md")
	for _, v := range views {
		v.Guides, v.Problems = guides, problems
		var html bytes.Buffer
		if err := layout.Execute(&html, v); err != nil {
			return nil, fmt.Errorf("page %s: %w", v.Path, err)
		}
		if pages[v.Path], err = newFile("text/html; charset=utf-8", html.Bytes()); err != nil {
			return nil, err
		}
	}
	return pages, nil
}

func addAssets(pages map[string]*file) error {
	const under = "/docs/assets/"
	err := eachFile(assets, func(name string, body []byte) (err error) {
		pages[under+path.Base(name)], err = newFile(contentTypes[path.Ext(name)], body)
		return err
	})
	if err != nil {
		return err
	}
	return eachFile(swaggerUI, func(name string, body []byte) error {
		name = strings.TrimSuffix(path.Base(name), ".gz")
		pages[under+name] = gzippedFile(contentTypes[path.Ext(name)], body)
		return nil
	})
}

func loadArticles() (map[string]*article, error) {
	articles := map[string]*article{}
	return articles, eachFile(text.Files, func(name string, body []byte) (err error) {
		articles[name], err = newArticle(name, body)
		return err
	})
}

// listed are the articles that an index links to, in its order.
func listed(articles map[string]*article, index string) []*article {
	byPath := map[string]*article{}
	for _, a := range articles {
		byPath[a.Path] = a
	}
	var found []*article
	for _, link := range articles[index].links {
		to := path.Join(path.Dir(articles[index].Path), link)
		if a := byPath[to]; a != nil && path.Dir(to) == articles[index].Path {
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
