// Package docs holds what people read: guides, and a page for each type of problem. They
// are Markdown that reads well where the code is looked at; a running service shows the
// same files under /docs (internal/docs turns them into pages).
//
// To add a guide, write name.md here and link it in README.md, whose order is the order
// of the navigation. To add a problem type, write problems/slug.md. Pages link each other
// by relative file names, as they do images; links to other files of the repository lose their link in a
// running service, which has no such files.
package docs

import "embed"

// Files are the pages and their images, by path below this folder.
//
//go:embed *.md problems/*.md performance/*.svg
var Files embed.FS
