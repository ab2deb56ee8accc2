package docs

import (
	"bytes"
	"net/url"
	"path"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// renderer knows the Markdown that code hosts show. Raw HTML stays out, and columns are
// aligned by attribute, because the policy allows no inline style.
var renderer = goldmark.New(
	goldmark.WithExtensions(
		extension.NewTable(extension.WithTableCellAlignMethod(extension.TableCellAlignAttribute)),
		extension.Strikethrough,
		extension.Linkify,
	),
	goldmark.WithParserOptions(
		parser.WithAutoHeadingID(),
		parser.WithASTTransformers(util.Prioritized(linkTransformer{}, 100)),
	),
)

// linkTransformer turns links between the files of the folder docs, and to their images,
// into links between the paths that they are served at.
type linkTransformer struct{}

// sourceKey is where a parser keeps the name of the file that it reads.
var sourceKey = parser.NewContextKey()

func (linkTransformer) Transform(document *ast.Document, _ text.Reader, pc parser.Context) {
	source, _ := pc.Get(sourceKey).(string)
	var dead []*ast.Link
	_ = ast.Walk(document, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if link, ok := n.(*ast.Link); ok && entering {
			if served, found := servedLink(source, string(link.Destination)); found {
				link.Destination = []byte(served)
			} else {
				dead = append(dead, link)
			}
		}
		if image, ok := n.(*ast.Image); ok && entering {
			image.Destination = []byte(servedImage(path.Join(path.Dir(source), string(image.Destination))))
		}
		return ast.WalkContinue, nil
	})
	for _, link := range dead {
		unlink(link)
	}
}

// unlink leaves of a link what it says.
func unlink(link *ast.Link) {
	parent := link.Parent()
	for child := link.FirstChild(); child != nil; child = link.FirstChild() {
		parent.InsertBefore(parent, link, child)
	}
	parent.RemoveChild(parent, link)
}

// servedLink is where a link of a Markdown file leads, as a path of the service; false when
// it leads to a file that isn't served.
func servedLink(source, destination string) (string, bool) {
	u, err := url.Parse(destination)
	if err != nil || u.IsAbs() || u.Host != "" || u.Path == "" {
		return destination, err == nil
	}
	target := path.Join(path.Dir(source), u.Path)
	var served string
	switch {
	case target == "../openapi.yaml":
		served = "/openapi.yaml"
	case path.Ext(target) == ".md" && !strings.HasPrefix(target, "../"):
		served = servedPath(target)
	default:
		return "", false
	}
	u.Path = served
	return u.String(), true
}

// servedPath is where a Markdown file of the folder docs is served.
func servedPath(source string) string {
	name := strings.TrimSuffix(source, ".md")
	if path.Dir(source) == "." {
		name = "guides/" + name
	}
	return "/docs/" + strings.TrimSuffix(name, "/README")
}

// servedImage is where an image of the folder docs is served.
func servedImage(source string) string { return "/docs/" + source }

// article is a Markdown file, read.
type article struct {
	path  string // where it is served
	title string // its first heading
	links []string
	html  []byte
}

func newArticle(source string, markdown []byte) (*article, error) {
	a := &article{path: servedPath(source)}
	pc := parser.NewContext()
	pc.Set(sourceKey, source)
	document := renderer.Parser().Parse(text.NewReader(markdown), parser.WithContext(pc))
	_ = ast.Walk(document, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if heading, ok := n.(*ast.Heading); ok && a.title == "" {
			a.title = plainText(heading, markdown)
		}
		if link, ok := n.(*ast.Link); ok && entering {
			a.links = append(a.links, string(link.Destination))
		}
		return ast.WalkContinue, nil
	})
	var html bytes.Buffer
	if err := renderer.Renderer().Render(&html, markdown, document); err != nil {
		return nil, err
	}
	a.html = reachable(html.Bytes())
	return a, nil
}

func plainText(n ast.Node, source []byte) string {
	var b strings.Builder
	_ = ast.Walk(n, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if t, ok := n.(*ast.Text); ok && entering {
			b.Write(t.Value(source))
		}
		return ast.WalkContinue, nil
	})
	return b.String()
}

// reachable lets wide tables and code be scrolled with the keyboard. The tags that it
// looks for can't come out of the text, where "<" is escaped.
func reachable(html []byte) []byte {
	for plain, scrolled := range map[string]string{
		"<pre>":    `<pre tabindex="0">`,
		"<table>":  `<div class="wide" tabindex="0"><table>`,
		"</table>": `</table></div>`,
	} {
		html = bytes.ReplaceAll(html, []byte(plain), []byte(scrolled))
	}
	return html
}
