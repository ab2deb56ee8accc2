package httpapi

import (
	"bytes"
	"reflect"
	"regexp"

	"github.com/getkin/kin-openapi/openapi3"

	"ocore.dev/audit/internal/audit"
)

// fit reports whether a value of compact JSON surely fits a schema, as entries nearly always
// do. Where it isn't sure it says no, and the validator is asked: what is refused, and in
// which words, is the validator's matter alone. A test holds the one against the other.
type fit func(raw []byte) bool

// newFit knows what entries need; of a schema that says anything else it is never sure.
func newFit(s *openapi3.Schema) fit {
	known := openapi3.Schema{
		Type: s.Type, MinLength: s.MinLength, MaxLength: s.MaxLength, Pattern: s.Pattern, MinItems: s.MinItems, MaxItems: s.MaxItems, Items: s.Items,
		Properties: s.Properties, Required: s.Required, AdditionalProperties: s.AdditionalProperties,
		Title: s.Title, Description: s.Description, Example: s.Example, Extensions: s.Extensions, Origin: s.Origin,
	}
	switch {
	case !reflect.DeepEqual(known, *s):
	case s.Type.Is(openapi3.TypeString) && s.MinLength <= 1:
		return fitString(s)
	case s.Type.Is(openapi3.TypeArray):
		return fitArray(s)
	case s.Type.Is(openapi3.TypeObject):
		return fitObject(s)
	}
	return func([]byte) bool { return false }
}

// fitString compares bytes, of which a text never has fewer than characters, however they
// are written. What an escape stands for it doesn't look at.
func fitString(s *openapi3.Schema) fit {
	pattern := regexp.MustCompile(s.Pattern) // the validator's, or the document wouldn't have been read
	return func(raw []byte) bool {
		if raw[0] != '"' {
			return false
		}
		text := raw[1 : len(raw)-1]
		return uint64(len(text)) >= s.MinLength && uint64(len(text)) <= limit(s.MaxLength) &&
			(s.Pattern == "" || bytes.IndexByte(text, '\\') < 0 && pattern.Match(text))
	}
}

func fitArray(s *openapi3.Schema) fit {
	item := newFit(s.Items.Value)
	return func(raw []byte) bool {
		fits, count := raw[0] == '[', uint64(0)
		if fits {
			audit.EachItem(raw, func(raw []byte) bool {
				count++
				fits = count <= limit(s.MaxItems) && item(raw)
				return fits
			})
		}
		return fits && count >= s.MinItems
	}
}

// fitObject knows objects that are free, and those whose members are all named.
func fitObject(s *openapi3.Schema) fit {
	if s.Properties == nil && s.Required == nil && s.AdditionalProperties.Schema == nil && (s.AdditionalProperties.Has == nil || *s.AdditionalProperties.Has) {
		return func(raw []byte) bool { return raw[0] == '{' }
	}
	if s.AdditionalProperties.Has == nil || *s.AdditionalProperties.Has {
		return func([]byte) bool { return false }
	}
	members, required := make(map[string]fit, len(s.Properties)), make(map[string]bool, len(s.Required))
	for name, property := range s.Properties {
		members[name] = newFit(property.Value)
	}
	for _, name := range s.Required {
		required[name] = true
	}
	return func(raw []byte) bool {
		fits, missing := raw[0] == '{', len(required)
		if fits {
			audit.EachMember(raw, func(name string, value []byte) {
				member := members[name]
				fits = fits && member != nil && member(value)
				if required[name] {
					missing--
				}
			})
		}
		return fits && missing == 0
	}
}
