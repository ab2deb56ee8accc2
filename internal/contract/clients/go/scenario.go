package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
)

type scenario struct {
	Variables map[string]any `json:"variables"`
	Steps     []*step        `json:"steps"`
}

type step struct {
	Name        string         `json:"name"`
	As          string         `json:"as"`
	Call        string         `json:"call"`
	Walk        bool           `json:"walk"`
	ContentType string         `json:"contentType"`
	Arguments   map[string]any `json:"arguments"`
	Body        any            `json:"body"`
	Expect      expectation    `json:"expect"`
}

func (s *step) holder() string {
	if s.As == "" {
		return "TOKEN"
	}
	return s.As
}

type expectation struct {
	Status  int               `json:"status"`
	Problem string            `json:"problem"`
	Headers map[string]any    `json:"headers"`
	Equal   map[string]any    `json:"equal"`
	Present []string          `json:"present"`
	Length  map[string]int    `json:"length"`
	IDs     []any             `json:"ids"`
	Instant map[string]any    `json:"instant"`
	Save    map[string]string `json:"save"`
}

func (e *expectation) hold(got *answer, saved map[string]any) error {
	if got.status != e.Status || got.problem != e.Problem {
		return fmt.Errorf("status %d %s, not %d %s: %s", got.status, got.problem, e.Status, e.Problem, encode(got.value))
	}
	for name, wanted := range e.Headers {
		if err := header(got.header, name, wanted); err != nil {
			return err
		}
	}
	for pointer, wanted := range e.Equal {
		wanted, err := expand(wanted, saved)
		if err != nil {
			return err
		}
		if found := at(got.value, pointer); !same(found, wanted) {
			return fmt.Errorf("%s is %s, not %s", pointer, encode(found), encode(wanted))
		}
	}
	for _, pointer := range e.Present {
		if at(got.value, pointer) == nil {
			return fmt.Errorf("%s is missing", pointer)
		}
	}
	for pointer, wanted := range e.Length {
		if list, is := at(got.value, pointer).([]any); !is || len(list) != wanted {
			return fmt.Errorf("%s has %d elements, not %d", pointer, len(list), wanted)
		}
	}
	if e.IDs != nil {
		wanted, err := expand(e.IDs, saved)
		if err != nil {
			return err
		}
		if found := ids(got.value); !same(found, wanted) {
			return fmt.Errorf("the ids are %s, not %s", encode(found), encode(wanted))
		}
	}
	for pointer, wanted := range e.Instant {
		wanted, err := expand(wanted, saved)
		if err != nil {
			return err
		}
		found, _ := at(got.value, pointer).(string)
		if a, err := time.Parse(time.RFC3339Nano, found); err != nil {
			return fmt.Errorf("%s is no time: %s", pointer, found)
		} else if b, err := time.Parse(time.RFC3339Nano, fmt.Sprint(wanted)); err != nil || !a.Equal(b) {
			return fmt.Errorf("%s is %s, not %v", pointer, found, wanted)
		}
	}
	for name, pointer := range e.Save {
		saved[name] = at(got.value, pointer)
	}
	return nil
}

// header compares one header: null is absent, * is anything.
func header(got http.Header, name string, wanted any) error {
	found := got.Get(name)
	switch {
	case wanted == nil && found == "", wanted == "*" && found != "", wanted == found:
		return nil
	}
	return fmt.Errorf("the header %s is %q, not %v", name, found, wanted)
}

func ids(value any) any {
	for _, member := range []string{"items", "logs", "rows"} {
		if list, is := at(value, "/"+member).([]any); is {
			found := make([]any, len(list))
			for i, entry := range list {
				found[i] = at(entry, "/id")
			}
			return found
		}
	}
	return nil
}

func at(value any, pointer string) any {
	for part := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		switch v := value.(type) {
		case map[string]any:
			value = v[part]
		case []any:
			if i, err := strconv.Atoi(part); err == nil && i < len(v) {
				value = v[i]
			} else {
				return nil
			}
		default:
			return nil
		}
	}
	return value
}

// same compares JSON values, numbers by what they are worth.
func same(a, b any) bool {
	switch a := a.(type) {
	case json.Number:
		b, is := b.(json.Number)
		x, errX := a.Float64()
		y, errY := b.Float64()
		return is && errX == nil && errY == nil && x == y
	case []any:
		b, is := b.([]any)
		if !is || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !same(a[i], b[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		b, is := b.(map[string]any)
		if !is || len(a) != len(b) {
			return false
		}
		for key := range a {
			if other, has := b[key]; !has || !same(a[key], other) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(a, b)
}

var (
	variable = regexp.MustCompile(`\$\{(\w+)\}`)
	many     = regexp.MustCompile(`\$\{x\*(\d+)\}`)
)

// expand puts in what was saved. A text that is one variable takes its value's type.
func expand(value any, saved map[string]any) (any, error) {
	switch v := value.(type) {
	case string:
		if whole := variable.FindString(v); whole != "" && whole == v {
			found := saved[v[2:len(v)-1]]
			if found == nil {
				return nil, fmt.Errorf("nothing was saved as %s", v)
			}
			return found, nil
		}
		v = many.ReplaceAllStringFunc(v, func(text string) string {
			count, _ := strconv.Atoi(many.FindStringSubmatch(text)[1])
			return strings.Repeat("x", count)
		})
		return variable.ReplaceAllStringFunc(v, func(text string) string { return fmt.Sprint(saved[text[2:len(text)-1]]) }), nil
	case []any:
		list := make([]any, len(v))
		for i := range v {
			var err error
			if list[i], err = expand(v[i], saved); err != nil {
				return nil, err
			}
		}
		return list, nil
	case map[string]any:
		object := make(map[string]any, len(v))
		for key := range v {
			var err error
			if object[key], err = expand(v[key], saved); err != nil {
				return nil, err
			}
		}
		return object, nil
	}
	return value, nil
}
