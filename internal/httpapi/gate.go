package httpapi

import (
	"context"
	"errors"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"ocore.dev/audit/internal/audit"
)

// Authenticator turns the values of the Authorization header into who is calling, or an
// error that is [audit.ErrUnauthenticated].
type Authenticator interface {
	Authenticate(ctx context.Context, authorization []string) (audit.Principal, error)
}

// gate stands before the router. The order is what it is about: who is calling, then
// what they may do, then which organization, then whether they come too often, and only
// then is anything they sent looked at; so nobody without a token costs a body or learns the schema.
type gate struct {
	document      *document
	authenticator Authenticator
	quotas        *quotas
	admission     *admission
}

func (g *gate) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		admitted, err := g.admit(w, r)
		if err != nil {
			writeProblem(w, r, err)
			return
		}
		next.ServeHTTP(w, admitted)
	})
}

func (g *gate) admit(w http.ResponseWriter, r *http.Request) (*http.Request, error) {
	route, pathValues, err := g.document.find(r)
	if errors.Is(err, routers.ErrMethodNotAllowed) {
		w.Header().Set("Allow", join(g.document.methods(r)))
		return nil, errMethodNotAllowed
	}
	if err != nil {
		return nil, errNoSuchPath
	}
	op := g.document.operations[route.Operation]
	if err := g.identify(r, op); err != nil {
		return nil, err
	}
	c := callOf(r.Context())
	if err := g.quotas.take(w.Header(), c); err != nil {
		return nil, err
	}
	c.lane = g.admission.lane(op)
	if c.lane.full(c.organization) { // before a body is read
		return nil, audit.ErrOverloaded
	}
	query, values, err := op.tidyQuery(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	if err := checkPath(r); err != nil {
		return nil, err
	}
	if err := op.validateParameters(r, route, pathValues, values); err != nil {
		return nil, err
	}
	if op.body == nil && query == r.URL.RawQuery {
		return r, nil
	}
	admitted, location := *r, *r.URL // nobody else has the request's headers; they may be shared
	admitted.URL = &location
	location.RawQuery = query
	if op.body != nil {
		if err := admitBody(w, &admitted, op, g.admission.bodies); err != nil {
			return nil, err
		}
	}
	return &admitted, nil
}

// identify fills in the call's principal and organization.
func (g *gate) identify(r *http.Request, op operation) error {
	c := callOf(r.Context())
	c.operation, c.route, c.path, c.framed = op.id, op.route, r.URL.EscapedPath(), r.ProtoAtLeast(1, 1)
	principal, err := g.authenticator.Authenticate(r.Context(), r.Header.Values("Authorization"))
	if err != nil {
		return err
	}
	c.principal = principal
	c.again = func(ctx context.Context) error {
		_, err := g.authenticator.Authenticate(ctx, r.Header.Values("Authorization"))
		return err
	}
	if !principal.Can(op.permission) {
		return audit.Denied("this operation needs the permission " + string(op.permission))
	}
	if op.platform {
		return nil
	}
	slugs := r.Header.Values("X-Org-Slug")
	if len(slugs) > 1 {
		return audit.BadParameter("X-Org-Slug", "X-Org-Slug stands more than once; send it once")
	}
	c.organization, err = principal.Organization(r.Header.Get("X-Org-Slug"))
	return err
}

// underBase reports whether the request is for an operation.
func underBase(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, BasePath+"/") && (r.URL.RawPath == "" || strings.HasPrefix(r.URL.RawPath, BasePath+"/"))
}

// tidyQuery refuses parameters that are unknown or given twice without being lists, because a filter that is
// silently ignored shows the wrong evidence, and takes away empty ones, which are absent. It
// returns the query as text and as values.
func (o operation) tidyQuery(raw string) (string, url.Values, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return "", nil, &audit.Rejection{Kind: audit.ErrMalformed, Detail: "the query string is not properly escaped"}
	}
	tidy := true
	for pair := range strings.SplitSeq(raw, "&") { // in the order sent: the first at fault is named
		escaped, _, _ := strings.Cut(pair, "=")
		name, _ := url.QueryUnescape(escaped) // it can: ParseQuery did
		switch sent := values[name]; {
		case pair == "":
		case !o.query[name]:
			return "", nil, audit.BadParameter(printable(name), "%s takes %s, and nothing of this name", o.id, o.parameters())
		case len(sent) > 1 && !o.lists[name]:
			return "", nil, audit.BadParameter(name, "%s stands %d times; send it once", name, len(sent))
		case slices.ContainsFunc(sent, func(value string) bool { return !audit.ValidText(value) }):
			return "", nil, audit.BadParameter(name, "%s holds invalid UTF-8 or a NUL character", name)
		case slices.Contains(sent, ""):
			tidy = false
			if values[name] = slices.DeleteFunc(sent, func(value string) bool { return value == "" }); len(values[name]) == 0 {
				delete(values, name)
			}
		}
	}
	if tidy {
		return raw, values, nil
	}
	return values.Encode(), values, nil
}

// parameters names what the operation takes, for the remedy.
func (o operation) parameters() string {
	if len(o.query) == 0 {
		return "no parameters"
	}
	return join(slices.Sorted(maps.Keys(o.query)))
}

func checkPath(r *http.Request) error {
	if audit.ValidText(r.URL.Path) {
		return nil
	}
	return &audit.Rejection{Kind: audit.ErrMalformed, Detail: "the path holds invalid UTF-8 or a NUL character"}
}

// printable bounds what is repeated of a name that somebody made up.
func printable(name string) string {
	if len(name) > 64 {
		name = name[:64]
	}
	return strings.ReplaceAll(strings.ToValidUTF8(name, "\uFFFD"), "\x00", "\uFFFD")
}

// validateParameters holds path and query against the document. Bounds are on what is
// meant, so path values are unescaped first. Of query and headers only what was sent is looked
// at, and what is required.
func (o operation) validateParameters(r *http.Request, route *routers.Route, pathValues map[string]string, query url.Values) error {
	for name, escaped := range pathValues {
		pathValues[name], _ = url.PathUnescape(escaped) // it can: net/http did
	}
	for _, reference := range route.Operation.Parameters {
		p := reference.Value
		if !sent(p, r.Header, query) {
			if p.Required {
				return audit.BadParameter(p.Name, "%s is required; it %s", p.Name, takes(p.Schema.Value))
			}
			continue
		}
		if within, known := o.integers[p]; known && within.holds(query.Get(p.Name)) {
			continue
		}
		if err := validateParameter(r, route, p, pathValues, query); err != nil {
			return err
		}
	}
	return nil
}

func sent(p *openapi3.Parameter, header http.Header, query url.Values) bool {
	switch p.In {
	case openapi3.ParameterInQuery:
		return query.Has(p.Name)
	case openapi3.ParameterInHeader:
		return header.Values(p.Name) != nil
	}
	return true // a path has all of its values
}

func validateParameter(r *http.Request, route *routers.Route, p *openapi3.Parameter, pathValues map[string]string, query url.Values) error {
	if value := query.Get(p.Name); p.Schema.Value.Type.Is(openapi3.TypeBoolean) && value != "true" && value != "false" {
		return audit.BadParameter(p.Name, "%s %s", p.Name, takes(p.Schema.Value)) // the validator also lets in 1, T and the like
	}
	err := openapi3filter.ValidateParameter(r.Context(), &openapi3filter.RequestValidationInput{
		Request: r, PathParams: pathValues, QueryParams: query, Route: route, Options: parameterOptions,
	}, p)
	var bad *openapi3filter.RequestError
	if errors.As(err, &bad) && bad.Parameter != nil {
		return audit.BadParameter(p.Name, "%s %s", p.Name, takes(p.Schema.Value))
	}
	return err
}

var parameterOptions = &openapi3filter.Options{SkipSettingDefaults: true}

// isJSON accepts application/json in any spelling, in UTF-8.
func isJSON(contentType string) bool {
	mediaType, parameters, err := mime.ParseMediaType(contentType)
	charset := parameters["charset"]
	return err == nil && mediaType == "application/json" && (charset == "" || strings.EqualFold(charset, "utf-8"))
}
