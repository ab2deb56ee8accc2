package docs

import (
	_ "embed"
	"fmt"
	"html"
	"path"
	"regexp"
	"strings"
)

// frame is around every page. Links in it are written as paths of the service; they are
// made relative to the page at the end. html/template would do all this, and would make
// the binary larger by a quarter: what it calls by name keeps the linker from leaving
// anything out.
//
//go:embed page.html
var frame string

const articleHead = `<link rel="stylesheet" href="/docs/assets/site.css">
<script src="/docs/assets/article.js" defer></script>
`

// referenceHead has our own style sheets behind Swagger UI's.
const referenceHead = `<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
<link rel="stylesheet" href="/docs/assets/site.css">
<link rel="stylesheet" href="/docs/assets/reference.css">
<script src="/docs/assets/swagger-ui-bundle.js" defer></script>
<script src="/docs/assets/reference.js" defer></script>
`

// referenceContent is filled by assets/reference.js, and the list beside it too. Swagger
// UI brings a main element of its own.
const referenceContent = `<div id="content" tabindex="-1"><div id="reference">
<noscript><p>The reference needs JavaScript; the document that it shows does not: <a href="/openapi.yaml">openapi.yaml</a>.</p></noscript>
</div></div>
`

const referenceList = `<div id="operations-list"></div>
`

// site is what the navigation of every page knows.
type site struct {
	guides, problems []*article
}

func (s site) referencePage() []byte {
	return page("/docs", "API reference", referenceHead, referenceList+list("Guides", "/docs/guides", s.guides), referenceContent)
}

func (s site) articlePage(a *article) []byte {
	side := list("Guides", "/docs/guides", s.guides) + list("Problems", "/docs/problems", s.problems)
	side = strings.Replace(side, linkTo(a.path), linkTo(a.path)+` aria-current="page"`, 1)
	return page(a.path, a.title, articleHead, side, `<main id="content" tabindex="-1"><article>`+"\n"+string(a.html)+"</article></main>\n")
}

func page(at, title, head, side, content string) []byte {
	text := frame
	section := "/docs"
	for _, under := range []string{"/docs/guides", "/docs/problems"} {
		if strings.HasPrefix(at, under) {
			section = under
		}
	}
	text = strings.Replace(text, "<a "+linkTo(section), "<a "+linkTo(section)+` aria-current="true"`, 1)
	text = strings.NewReplacer("$title", html.EscapeString(title), "$head", head, "$side", side, "$content", content).Replace(text)
	return []byte(relativeLinks(at, text))
}

func list(title, at string, articles []*article) string {
	var b strings.Builder
	fmt.Fprintf(&b, "<h2><a %s>%s</a></h2>\n<ul>\n", linkTo(at), title)
	for _, a := range articles {
		fmt.Fprintf(&b, "<li><a %s>%s</a></li>\n", linkTo(a.path), html.EscapeString(a.title))
	}
	b.WriteString("</ul>\n")
	return b.String()
}

func linkTo(at string) string { return `href="` + at + `"` }

var absoluteLink = regexp.MustCompile(`(href|src)="(/[^"]*)"`)

func relativeLinks(at, text string) string {
	return absoluteLink.ReplaceAllStringFunc(text, func(found string) string {
		parts := absoluteLink.FindStringSubmatch(found)
		return parts[1] + `="` + relative(at, parts[2]) + `"`
	})
}

// relative is the link from one path of the service to another.
func relative(from, to string) string {
	base := path.Dir(from)
	up := ""
	for base != "/" && !strings.HasPrefix(to, base+"/") {
		up += "../"
		base = path.Dir(base)
	}
	return up + strings.TrimPrefix(strings.TrimPrefix(to, base), "/")
}
