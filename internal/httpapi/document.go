package httpapi

import (
	_ "embed"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"ocore.dev/audit/internal/audit"
)

// BasePath is where the operations of the document are served.
const BasePath = "/api"

// documentYAML is a copy of the repository's openapi.yaml, made by `make generate`
// because embedding can't reach above its own folder. A test holds it equal.
//
//go:embed openapi.yaml
var documentYAML []byte

// document31YAML is the same in OpenAPI 3.1, for tools that want that; made from it too.
//
//go:embed openapi-3.1.yaml
var document31YAML []byte

// operation is what the gate needs to know of one operation of the document.
type operation struct {
	id         string
	route      string // its path with the base path, as metrics and traces name it
	permission audit.Permission
	writes     bool
	platform   bool // concerns the platform's admin trail rather than an organization's
	query      map[string]bool
	lists      map[string]bool              // those of them that are sent once for each value
	integers   map[*openapi3.Parameter]span // those of them that are integers within bounds, and nothing else
	body       *openapi3.Schema             // nil when it takes none
	fits       fit                          // whether a body surely is of that schema
}

// document is openapi.yaml, ready to be asked which operation a request means.
type document struct {
	spec       *openapi3.T
	json       []byte
	router     routers.Router
	fixed      map[fixedPath]*routers.Route // what the router finds for them
	operations map[*openapi3.Operation]operation
}

// fixedPath is a path without parameters, behind the base path, and a method that it has. They are looked up before
// the router is asked, which tries a regular expression for each path.
type fixedPath struct{ method, path string }

func loadDocument(source []byte) (*document, error) {
	spec, err := openapi3.NewLoader().LoadFromData(source)
	if err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	text, err := spec.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	spec.Servers = nil // requests are matched by path alone, whatever host they came through
	router, err := gorillamux.NewRouter(spec)
	if err != nil {
		return nil, fmt.Errorf("route the document: %w", err)
	}
	d := &document{spec: spec, json: text, router: router, fixed: map[fixedPath]*routers.Route{}, operations: map[*openapi3.Operation]operation{}}
	for path, item := range spec.Paths.Map() {
		for method, o := range item.Operations() {
			known, err := newOperation(item, o)
			if err != nil {
				return nil, fmt.Errorf("%s %s: %w", method, path, err)
			}
			known.route, known.writes = BasePath+path, method != http.MethodGet
			d.operations[o] = known
			if strings.Contains(path, "{") {
				continue
			}
			route, _, err := router.FindRoute(&http.Request{Method: method, URL: &url.URL{Path: path}})
			if err != nil {
				return nil, fmt.Errorf("route %s %s: %w", method, path, err)
			}
			d.fixed[fixedPath{method, BasePath + path}] = route
		}
	}
	return d, nil
}

func newOperation(item *openapi3.PathItem, o *openapi3.Operation) (operation, error) {
	text, _ := o.Extensions["x-required-permission"].(string)
	known := operation{id: o.OperationID, permission: audit.Permission(text), query: map[string]bool{}, lists: map[string]bool{}, integers: map[*openapi3.Parameter]span{}}
	switch known.permission {
	case audit.ViewAuditLogs, audit.CreateAuditLogs, audit.ManageAuditLogs, audit.ManageAPIKeys:
	case audit.ViewAdminAuditLogs, audit.CreateAdminAuditLogs:
		known.platform = true
	default:
		return known, fmt.Errorf("x-required-permission is %q, which is no permission", text)
	}
	for _, parameters := range []openapi3.Parameters{item.Parameters, o.Parameters} {
		for _, p := range parameters {
			if p.Value.In == openapi3.ParameterInQuery {
				known.query[p.Value.Name] = true
				known.lists[p.Value.Name] = p.Value.Schema.Value.Type.Is(openapi3.TypeArray)
				if s, ok := spanOf(p.Value.Schema.Value); ok {
					known.integers[p.Value] = s
				}
			}
		}
	}
	if o.RequestBody != nil {
		known.body = o.RequestBody.Value.Content.Get("application/json").Schema.Value
		known.fits = newFit(known.body)
	}
	return known, nil
}

// span is what an integer may be. Nearly every page and size surely is within it; of any other
// text the validator judges, which takes a hundred times as long.
type span struct{ min, max float64 }

// spanOf knows schemas that say nothing but that.
func spanOf(s *openapi3.Schema) (span, bool) {
	known := openapi3.Schema{
		Type: s.Type, Format: s.Format, Min: s.Min, Max: s.Max,
		Title: s.Title, Description: s.Description, Example: s.Example, Extensions: s.Extensions, Origin: s.Origin,
	}
	if !s.Type.Is(openapi3.TypeInteger) || s.Min == nil || s.Max == nil || !reflect.DeepEqual(known, *s) {
		return span{}, false
	}
	return span{*s.Min, *s.Max}, true
}

// holds reports whether a text surely is an integer of the span, in its one plain spelling.
func (s span) holds(text string) bool {
	n, err := strconv.ParseUint(text, 10, 53)
	return err == nil && (text[0] != '0' || text == "0") && float64(n) >= s.min && float64(n) <= s.max
}

// find is the operation that a request means, and the values in its path, escaped.
func (d *document) find(r *http.Request) (*routers.Route, map[string]string, error) {
	if route := d.fixed[fixedPath{r.Method, r.URL.Path}]; route != nil && r.URL.RawPath == "" {
		return route, nil, nil
	}
	if !underBase(r) {
		return nil, nil, routers.ErrPathNotFound
	}
	return d.router.FindRoute(&http.Request{Method: r.Method, URL: &url.URL{
		Path: strings.TrimPrefix(r.URL.Path, BasePath), RawPath: strings.TrimPrefix(r.URL.RawPath, BasePath),
	}})
}

// methods lists what a path of the document allows, for the Allow header.
func (d *document) methods(r *http.Request) []string {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		probe := *r
		probe.Method = method
		if _, _, err := d.find(&probe); err == nil {
			allowed = append(allowed, method)
		}
	}
	return allowed
}

// allMethods lists what any path of the document allows, and HEAD, which other pages have.
func (d *document) allMethods() []string {
	methods := []string{http.MethodHead}
	for _, item := range d.spec.Paths.Map() {
		for method := range item.Operations() {
			methods = append(methods, method)
		}
	}
	slices.Sort(methods)
	return slices.Compact(methods)
}

// Document is openapi.yaml as it is served.
func Document() []byte { return documentYAML }
