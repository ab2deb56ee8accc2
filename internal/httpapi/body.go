package httpapi

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"ocore.dev/audit/internal/audit"
)

// bodyDepth is what a body may nest: a state's levels under a batch, its list and an entry.
const bodyDepth = audit.MaxDepth + 3

// admitBody reads the whole body within its bounds, refuses JSON that readers disagree
// about, checks it against the schema, and puts it back compact for the binder.
func admitBody(w http.ResponseWriter, r *http.Request, op operation, bodies *budget) error {
	if kinds := r.Header.Values("Content-Type"); len(kinds) != 1 || !isJSON(kinds[0]) { // of two, others may believe the second
		return errMediaType
	}
	raw, err := readBody(w, r, bodies)
	if err != nil {
		return err
	}
	compact, err := audit.CompactObject(make([]byte, 0, len(raw)), raw, bodyDepth)
	if err != nil && !toldLater(err) {
		return rejectJSON(err)
	}
	if !op.fits(compact) {
		if err := checkSchema(compact, op.body); err != nil {
			return err
		}
	}
	callOf(r.Context()).body = compact
	r.Body = io.NopCloser(bytes.NewReader(compact))
	r.ContentLength = int64(len(compact))
	r.Header.Del("Content-Encoding")
	r.Header.Set("Content-Type", "application/json") // the binder knows one spelling
	return nil
}

// readBody bounds the bytes on the wire and, after decompression, once more.
func readBody(w http.ResponseWriter, r *http.Request, bodies *budget) ([]byte, error) {
	encodings := r.Header.Values("Content-Encoding")
	packed := len(encodings) == 1 && strings.EqualFold(encodings[0], "gzip")
	if !packed && len(encodings) > 0 && (len(encodings) > 1 || !strings.EqualFold(encodings[0], "identity")) {
		return nil, errMediaType
	}
	metered := bodies.meter(callOf(r.Context()), http.MaxBytesReader(w, r.Body, audit.MaxBodyBytes))
	var buffer bytes.Buffer
	buffer.Grow(int(min(max(r.ContentLength, 0), 16<<10)) + bytes.MinRead) // a caller that only says so gets no more
	if _, err := buffer.ReadFrom(metered); err != nil {
		return nil, unreadable(err, "broke off")
	}
	raw := buffer.Bytes()
	if packed {
		return unpack(raw, metered)
	}
	return raw, nil
}

// unpack measures before it keeps: what is too large costs the time to read up to the bound,
// and no memory. What isn't costs less than a buffer that grows.
func unpack(packed []byte, metered *meter) ([]byte, error) {
	plain, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, unreadable(err, "is not the gzip that Content-Encoding says")
	}
	size, err := io.Copy(io.Discard, io.LimitReader(plain, audit.MaxBodyBytes+1))
	switch {
	case err != nil:
		return nil, unreadable(err, "broke off")
	case size > audit.MaxBodyBytes:
		return nil, audit.ErrTooLarge
	case !metered.take(int(size)):
		return nil, audit.ErrOverloaded
	}
	raw := make([]byte, size)
	if err = plain.Reset(bytes.NewReader(packed)); err == nil {
		_, err = io.ReadFull(plain, raw)
	}
	return raw, err
}

func unreadable(err error, how string) error {
	if errors.Is(err, audit.ErrOverloaded) {
		return err
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return audit.ErrTooLarge
	}
	shown := &audit.Rejection{Kind: audit.ErrMalformed, Detail: "the body could not be read: it " + how}
	return fmt.Errorf("%w: %w", shown, err)
}

// insideValues matches pointers into the free objects of entries.
var insideValues = regexp.MustCompile(`^(/items/\d+)?/(beforeState|afterState|details)/`)

// toldLater reports whether all that is wrong lies in free objects, which admission reads
// again: there it is told together with the entry's other faults.
func toldLater(err error) bool {
	var fault *audit.JSONError
	if !errors.As(err, &fault) || fault.Cut {
		return false
	}
	for _, f := range fault.Faults() {
		if !insideValues.MatchString(f.Pointer) {
			return false
		}
	}
	return true
}

func rejectJSON(err error) error {
	var fault *audit.JSONError
	if !errors.As(err, &fault) {
		return err
	}
	kind := audit.ErrUnprocessable
	if fault.Malformed {
		kind = audit.ErrMalformed
	}
	return &audit.Rejection{Kind: kind, Faults: fault.Faults()}
}

// checkSchema lists every fault against the document's schema, as JSON pointers.
func checkSchema(body []byte, schema *openapi3.Schema) error {
	value, overlong := shallow(body, schema)
	if overlong != nil {
		return &audit.Rejection{Kind: audit.ErrMalformed, Faults: []audit.Fault{*overlong}}
	}
	err := schema.VisitJSON(value, openapi3.MultiErrors(), openapi3.VisitAsRequest())
	if err == nil {
		return nil
	}
	r := &audit.Rejection{Kind: audit.ErrMalformed}
	for _, f := range schemaFaults(err) {
		if len(r.Faults) < audit.MaxFaults && !slices.Contains(r.Faults, f) { // two keywords, one rule
			r.Faults = append(r.Faults, f)
		}
	}
	return r
}

// shallow decodes a compact object as far as its schema looks. What is free inside it
// stands empty: decoded, it would take fifty times its bytes. Of members that it doesn't
// know so many are looked at as are told. A list with more items than it may have is told
// alone, and read no further than that.
func shallow(object []byte, schema *openapi3.Schema) (value map[string]any, overlong *audit.Fault) {
	value = make(map[string]any, 16)
	unknown := 0
	audit.EachMember(object, func(name string, raw []byte) {
		property := schema.Properties[name]
		if property == nil {
			if unknown++; unknown > audit.MaxFaults {
				return
			}
		}
		if property == nil || property.Value.Items == nil || raw[0] != '[' {
			value[name] = scalar(raw)
			return
		}
		list, whole := shallowList(raw, property.Value)
		if !whole {
			overlong = &audit.Fault{Pointer: "/" + name, Detail: takes(property.Value)}
		}
		value[name] = list
	})
	return value, overlong
}

func shallowList(raw []byte, schema *openapi3.Schema) (list []any, whole bool) {
	list, whole = []any{}, true
	audit.EachItem(raw, func(item []byte) bool {
		whole = schema.MaxItems == nil || uint64(len(list)) < *schema.MaxItems
		switch {
		case !whole:
		case item[0] != '{':
			list = append(list, scalar(item))
		default:
			object, _ := shallow(item, schema.Items.Value) // entries hold no lists
			list = append(list, object)
		}
		return whole
	})
	return list, whole
}

// scalar decodes what is no object or list, and gives empty ones for those.
func scalar(raw []byte) (value any) {
	switch raw[0] {
	case '{':
		return map[string]any{}
	case '[':
		return []any{}
	case '"':
		return textOf(raw)
	}
	_ = json.Unmarshal(raw, &value) // it can, but for numbers beyond a float64, which are none of a schema's
	if value == nil && raw[0] != 'n' {
		return math.MaxFloat64
	}
	return value
}

// textOf decodes a string.
func textOf(raw []byte) (text string) {
	if inner := raw[1 : len(raw)-1]; bytes.IndexByte(inner, '\\') < 0 {
		return string(inner)
	}
	_ = json.Unmarshal(raw, &text) // it can: the body was read
	return text
}

func schemaFaults(err error) []audit.Fault {
	var several openapi3.MultiError
	if errors.As(err, &several) {
		var faults []audit.Fault
		for _, e := range several {
			faults = append(faults, schemaFaults(e)...)
		}
		return faults
	}
	var bad *openapi3.SchemaError
	if !errors.As(err, &bad) {
		return []audit.Fault{{Detail: "does not fit the document at /openapi.yaml"}}
	}
	pointer := ""
	for _, step := range bad.JSONPointer() {
		pointer += "/" + audit.EscapePointer(step)
	}
	if bad.SchemaField == "properties" {
		return []audit.Fault{{Pointer: audit.ShortPointer(pointer + unknownMember(bad.Reason)), Detail: "is no member of this object; leave it out"}}
	}
	if bad.SchemaField == "required" {
		return []audit.Fault{{Pointer: pointer, Detail: "is required"}}
	}
	return []audit.Fault{{Pointer: pointer, Detail: takes(bad.Schema)}}
}

// unknownMember is the pointer's last step, which the validator tells in its reason alone.
func unknownMember(reason string) string {
	quoted, _ := strconv.QuotedPrefix(strings.TrimPrefix(reason, "property "))
	name, err := strconv.Unquote(quoted)
	if err != nil {
		return ""
	}
	return "/" + audit.EscapePointer(name)
}

// anyText is the document's pattern for texts that may hold everything but NUL; there is
// nothing in it that a remedy should name.
const anyText = `^[^\x00]*$`

// takes says in words what a schema allows: the remedy that a problem names.
func takes(s *openapi3.Schema) string {
	switch {
	case len(s.Enum) > 0:
		return fmt.Sprintf("takes one of %v", s.Enum)
	case s.Type.Is(openapi3.TypeInteger) && s.Min != nil && s.Max != nil:
		return fmt.Sprintf("takes a whole number from %.0f to %.0f", *s.Min, *s.Max)
	case s.Type.Is(openapi3.TypeInteger):
		return "takes a whole number"
	case s.Type.Is(openapi3.TypeString) && s.Pattern != "" && s.Pattern != anyText:
		return fmt.Sprintf("takes %d to %d characters that fit %s", s.MinLength, limit(s.MaxLength), s.Pattern)
	case s.Type.Is(openapi3.TypeString):
		return fmt.Sprintf("takes a string of %d to %d characters", s.MinLength, limit(s.MaxLength))
	case s.Type.Is(openapi3.TypeBoolean):
		return "takes true or false"
	case s.Type.Is(openapi3.TypeArray):
		of := "entries"
		if s.Items.Value.Type.Is(openapi3.TypeString) {
			of = fmt.Sprintf("values of up to %d characters each", limit(s.Items.Value.MaxLength))
		}
		return fmt.Sprintf("takes a list of %d to %d %s", s.MinItems, limit(s.MaxItems), of)
	case s.Type.Is(openapi3.TypeObject):
		return "takes a JSON object"
	}
	return "does not fit the document at /openapi.yaml"
}

func limit(n *uint64) uint64 {
	if n == nil {
		return audit.MaxBodyBytes
	}
	return *n
}
