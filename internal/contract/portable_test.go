package contract

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"ocore.dev/audit/internal/httpapi"
)

// portabilityExceptions are what the contract wants in spite of a rule, by rule and place,
// each with what it costs. One that is no longer needed fails the test.
var portabilityExceptions = map[string]string{
	"one media type: exportAuditLogs 200":         "`format` chooses between JSON and CSV by contract: clients that decode by the first type read CSV as text or raw bytes",
	"limits: exportAuditLogs 200 text/csv":        "10,000 entries of 256 KiB are more than an int32, the most that generators hold as maxLength",
	"reserved name: listResourceAuditLogs type":   "the reference's own path parameter; some generators call it type_ or pType",
	"reserved name: getAuditLogConsistency from":  "RFC 6962's and C2SP's word for it; Python's generator calls it var_from",
	"reserved name: getAuditLogConsistency to":    "likewise; it is a word of no language that was tried",
	"reserved name: AuditLogConsistency.from":     "the proof's own member, which is part of the format; Python's generator calls it var_from",
	"free object: AuditLog.beforeState":           "states are whatever their author sent",
	"free object: AuditLog.afterState":            "states are whatever their author sent",
	"free object: NewAuditLog.beforeState":        "states are whatever their author sends",
	"free object: NewAuditLog.afterState":         "states are whatever their author sends",
	"free object: AdminAuditLog.details":          "details are whatever their author sent",
	"free object: NewAdminAuditLog.details":       "details are whatever their author sends",
	"free object: AdminAuditLog":                  "admin entries are open by contract; generators keep unknown members in a map",
	"free object: NewAdminAuditLog":               "admin entries are open by contract; generators keep unknown members in a map",
	"limits: tailAuditLogs 200 text/event-stream": "a stream has no end of its own; clients of generators take it with `wait`, or read it themselves",
}

func TestTheDocumentMakesClientsInEveryLanguage(t *testing.T) {
	t.Parallel()
	found := lint(load(t))
	for _, f := range found {
		if portabilityExceptions[f] == "" {
			t.Error(f)
		}
	}
	for f := range portabilityExceptions {
		if !slices.Contains(found, f) {
			t.Errorf("the exception is no longer needed: %s", f)
		}
	}
}

// Each rule is shown to bite: the edit makes the finding.
func TestThePortabilityRulesBite(t *testing.T) {
	t.Parallel()
	for want, edit := range map[string][2]string{
		"version: 3.1.0":                        {"openapi: 3.0.3", "openapi: 3.1.0"},
		"operation name: get_audit_log":         {"operationId: getAuditLog\n", "operationId: get_audit_log\n"},
		"tag: getAuditLog":                      {"      operationId: getAuditLog\n      summary: Read one entry\n", "      operationId: getAuditLog\n      summary: Read one entry\n      deprecated: false\n"},
		"one success: createAuditLog":           {"      responses:\n        '201':\n          description: The entry is stored,", "      responses:\n        '202':\n          description: Later.\n        '201':\n          description: The entry is stored,"},
		"no default or range: getAuditLog 4XX":  {"        '404':\n          $ref: '#/components/responses/NotFound'\n", "        4XX:\n          $ref: '#/components/responses/NotFound'\n"},
		"one media type: responses NotFound":    {"    NotFound:\n      description: The organization has no such entry, or none at all.\n      headers:\n        X-Request-Id:\n          $ref: '#/components/headers/RequestId'\n        RateLimit:\n          $ref: '#/components/headers/RateLimit'\n        RateLimit-Policy:\n          $ref: '#/components/headers/RateLimitPolicy'\n        Access-Control-Allow-Origin:\n          $ref: '#/components/headers/Access-Control-Allow-Origin'\n      content:\n", "    NotFound:\n      description: The organization has no such entry.\n      content:\n        text/plain:\n          schema:\n            type: string\n"},
		"one media type: createAuditLogBatch":   {"        description: The entries to record, oldest first.\n        content:\n", "        description: The entries to record, oldest first.\n        content:\n          application/x-ndjson: {}\n"},
		"no composition: AuditLogReceiptList":   {"    AuditLogReceiptList:\n      type: object\n", "    AuditLogReceiptList:\n      allOf: [{type: object, properties: {}}]\n      type: object\n"},
		"no null: AuditLogReceipt.existing":     {"        existing:\n          type: boolean\n", "        existing:\n          type: boolean\n          nullable: true\n"},
		"bare object: AuditLog.beforeState":     {"          additionalProperties: true\n", ""},
		"unnamed object: ProblemFault.pointer":  {"        pointer:\n          type: string\n", "        pointer:\n          type: object\n          properties: {x: {type: boolean}}\n"},
		"unnamed enum: exportAuditLogs format":  {"            $ref: '#/components/schemas/ExportFormat'\n", "            type: string\n            enum: [json, csv]\n"},
		"enum values: ExportFormat":             {"enum: [json, csv]", "enum: [json, JSON]"},
		"limits: AuditLogList.page":             {"          description: The page that this is, counted from 1.\n          minimum: 1\n", "          description: The page that this is, counted from 1.\n"},
		"limits: AuditLogList.items":            {"          description: The page's entries, newest first.\n          maxItems: 1000\n", "          description: The page's entries, newest first.\n"},
		"limits: AuditLog.userName":             {"          description: What people call them.\n          pattern: '^[^\\x00]*$'\n          maxLength: 512\n", "          description: What people call them.\n          pattern: '^[^\\x00]*$'\n"},
		"date: AuditLogReceipt.createdAt":       {"          description: When the service accepted it.\n", "          description: When the service accepted it.\n          pattern: '^.*Z$'\n"},
		"reserved name: listAuditLogs from":     {"      name: start_date\n", "      name: from\n"},
		"reserved name: AuditLogReceipt.@id":    {"      required: [id, position, createdAt, leafHash, existing]\n      properties:\n        id:\n", "      required: [position, createdAt, leafHash, existing]\n      properties:\n        '@id':\n"},
		"component name: Error":                 {"    ProblemFault:\n", "    Error: {type: boolean}\n    ProblemFault:\n"},
		"component name: AuditLogAction":        {"    ProblemFault:\n", "    AuditLogAction: {type: boolean}\n    ProblemFault:\n"},
		"component name: PageSize":              {"    ProblemFault:\n", "    PageSize: {type: boolean}\n    ProblemFault:\n"},
		"style: listAuditLogs user_id":          {"      name: user_id\n      in: query\n", "      name: user_id\n      in: query\n      explode: false\n"},
		"plain parameter: listAuditLogs action": {"      description: Only entries with this action.\n      schema:\n        type: string\n", "      description: Only entries with this action.\n      schema:\n        type: array\n        items: {type: array, items: {type: string}}\n"},
		"ambiguous path: /audit-logs/export":    {"  /audit-logs/entries/{id}:\n", "  /audit-logs/{id}:\n"},
		"extension: ExportFormat":               {"      enum: [json, csv]\n", "      enum: [json, csv]\n      x-enum-varnames: [A, B]\n"},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			before := string(httpapi.Document())
			if !strings.Contains(before, edit[0]) {
				t.Fatalf("the document has no %q: give the rule a place that it has", edit[0])
			}
			edited := strings.Replace(before, edit[0], edit[1], 1)
			if want == "tag: getAuditLog" {
				at := strings.Index(edited, edit[1])
				edited = edited[:at] + strings.Replace(edited[at:], "tags: [Audit]", "tags: [Audit, Admin]", 1)
			}
			d, err := parse([]byte(edited))
			if err != nil {
				t.Fatal(err)
			}
			if found := lint(d); !slices.Contains(found, want) {
				t.Errorf("not found, only %q", found)
			}
		})
	}
}

// linter gathers findings, each as "rule: place".
type linter struct{ found []string }

func (l *linter) check(holds bool, rule, format string, args ...any) {
	if f := rule + ": " + fmt.Sprintf(format, args...); !holds && !slices.Contains(l.found, f) {
		l.found = append(l.found, f)
	}
}

func lint(d *document) []string {
	l := &linter{}
	l.check(d.spec.OpenAPI == "3.0.3", "version", "%s", d.spec.OpenAPI) // what the most generators read whole
	for id, o := range d.operations {
		l.operation(id, o)
	}
	l.paths(d.spec.Paths.Map())
	l.components(d.spec.Components)
	slices.Sort(l.found)
	return l.found
}

var (
	operationName = regexp.MustCompile(`^(list|get|create|export|revoke|tail)[A-Z][A-Za-z]+$`)
	number        = regexp.MustCompile(`^[1-5][0-9][0-9]$`)
)

// An operation's id is the name of a method in every client, its tag that of a class.
func (l *linter) operation(id string, o *operation) {
	l.check(operationName.MatchString(id), "operation name", "%s", id)
	l.check(len(o.Tags) == 1, "tag", "%s", id)
	successes := 0
	for status, response := range o.Responses.Map() {
		l.check(number.MatchString(status), "no default or range", "%s %s", id, status)
		if strings.HasPrefix(status, "2") {
			successes++
		}
		if response.Ref == "" {
			l.content(id+" "+status, response.Value.Content)
			l.headers(id+" "+status, response.Value.Headers)
		}
	}
	l.check(successes == 1, "one success", "%s", id)
	if o.RequestBody != nil {
		l.content(id, o.RequestBody.Value.Content)
	}
	for _, p := range o.Parameters {
		l.parameter(id, p.Value)
	}
}

// content must have one media type: what a client decodes can't depend on the answer.
func (l *linter) content(at string, content openapi3.Content) {
	l.check(len(content) == 1, "one media type", "%s", at)
	for kind, media := range content {
		if media.Schema != nil {
			l.schema(at+" "+kind, media.Schema)
		}
	}
}

func (l *linter) headers(at string, headers openapi3.Headers) {
	for name, header := range headers {
		if header.Ref == "" {
			l.schema(at+" "+name, header.Value.Schema)
		}
	}
}

// Words that some language, or some generator's own code, has taken. A property named
// type is renamed by every generator in the same way; a parameter isn't.
var (
	reservedParameters = strings.Fields("type class default file from in to import object event error body query path header client request response")
	reservedProperties = strings.Fields("class default file from in import object")
	reservedComponents = strings.Fields("Event Error Object File Response Request Client Set Map List Date String Type")
)

var plainName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*$`)

func (l *linter) parameter(operation string, p *openapi3.Parameter) {
	at := operation + " " + p.Name
	l.check(plainName.MatchString(p.Name) && !slices.Contains(reservedParameters, p.Name), "reserved name", "%s", at)
	l.check(p.Style == "" && p.Explode == nil && !p.AllowReserved && p.In != openapi3.ParameterInCookie, "style", "%s", at)
	plain := p.Content == nil && p.Schema != nil && !p.Schema.Value.Type.Is("object")
	if plain && p.Schema.Value.Type.Is("array") { // repeated in the query, as all generators do by default
		plain = p.In == openapi3.ParameterInQuery && p.Schema.Value.Items.Value.Type.Is("string")
	}
	l.check(plain, "plain parameter", "%s", at)
	if p.Schema != nil {
		l.schema(at, p.Schema)
	}
}

// paths must differ by more than a parameter, or routers and generators choose.
func (l *linter) paths(paths map[string]*openapi3.PathItem) {
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		for other := range paths {
			l.check(path == other || strings.Contains(path, "{") || !matches(other, path), "ambiguous path", "%s", path)
		}
	}
}

func matches(template, path string) bool {
	parts, literals := strings.Split(template, "/"), strings.Split(path, "/")
	for i := range min(len(parts), len(literals)) {
		if !strings.HasPrefix(parts[i], "{") && parts[i] != literals[i] {
			return false
		}
	}
	return len(parts) == len(literals)
}

// components must have names that are types of their own in every language: no two that
// differ by case or by kind, and none that a generator would invent for another's property.
func (l *linter) components(c *openapi3.Components) {
	names := map[string]int{}
	for _, kind := range [][]string{
		slices.Collect(maps.Keys(c.Schemas)), slices.Collect(maps.Keys(c.Parameters)), slices.Collect(maps.Keys(c.Responses)),
	} {
		for _, name := range kind {
			names[strings.ToLower(name)]++
		}
	}
	for name, schema := range c.Schemas {
		invented := false
		for owner, other := range c.Schemas {
			for property := range other.Value.Properties {
				invented = invented || strings.EqualFold(owner+property, name)
			}
		}
		l.check(names[strings.ToLower(name)] == 1 && !invented && !slices.Contains(reservedComponents, name), "component name", "%s", name)
		l.schema(name, schema)
	}
	for name, response := range c.Responses {
		l.content("responses "+name, response.Value.Content)
	}
	l.headers("headers", c.Headers)
}

// schema checks one schema and what is written inside it; what it refers to is checked
// where it stands.
func (l *linter) schema(at string, ref *openapi3.SchemaRef) {
	if ref.Ref != "" {
		return
	}
	s := ref.Value
	composed := s.OneOf != nil || s.AnyOf != nil || s.AllOf != nil || s.Not != nil || s.Discriminator != nil
	l.check(!composed, "no composition", "%s", at)
	l.check(!s.Nullable && !slices.Contains(s.Enum, nil), "no null", "%s", at)
	l.check(s.Extensions["x-enum-varnames"] == nil, "extension", "%s", at)
	named := !strings.ContainsAny(at, " .")
	switch {
	case s.Enum != nil:
		l.check(named, "unnamed enum", "%s", at)
		l.check(distinct(s.Enum), "enum values", "%s", at)
	case s.Type.Is("object"):
		l.object(at, named, s)
	case s.Type.Is("array"):
		l.check(s.MaxItems != nil, "limits", "%s", at)
		l.schema(at+"[]", s.Items)
	case s.Type.Is("integer"), s.Type.Is("number"):
		bounded := s.Format != "" && s.Min != nil && s.Max != nil && *s.Max <= 1<<53-1
		l.check(bounded, "limits", "%s", at)
	case s.Type.Is("string"):
		l.check(s.MaxLength != nil, "limits", "%s", at)
		if s.Format == "date-time" {
			l.check(s.Pattern == "", "date", "%s", at) // PHP and Ruby clients would hold a date object against it
		}
	}
}

func (l *linter) object(at string, named bool, s *openapi3.Schema) {
	open := s.AdditionalProperties.Schema != nil || s.AdditionalProperties.Has != nil && *s.AdditionalProperties.Has
	l.check(!open, "free object", "%s", at)
	l.check(open || len(s.Properties) > 0, "bare object", "%s", at)
	l.check(named || len(s.Properties) == 0, "unnamed object", "%s", at)
	for name, property := range s.Properties {
		place := at + "." + name
		l.check(plainName.MatchString(name) && !slices.Contains(reservedProperties, name), "reserved name", "%s", place)
		l.schema(place, property)
	}
}

var enumValue = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

func distinct(values []any) bool {
	seen := map[string]bool{}
	for _, value := range values {
		text, isText := value.(string)
		if !isText || !enumValue.MatchString(text) || seen[text] {
			return false
		}
		seen[text] = true
	}
	return true
}
