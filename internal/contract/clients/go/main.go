// Command go runs the scenario of internal/contract through the generated Go client.
//
// A step's arguments have the document's parameter names, and so have the JSON tags of the
// generated parameter structures: a new filter needs nothing here, a new operation one case
// in call. Everything that is compared has been through the client's own types.
package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"ocore.dev/audit/gen/client"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go SCENARIO")
		os.Exit(2)
	}
	failed, err := run(context.Background(), os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if failed > 0 {
		os.Exit(1)
	}
}

func run(ctx context.Context, file string) (int, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	var told scenario
	if err := decode(text, &told); err != nil {
		return 0, fmt.Errorf("%s: %w", file, err)
	}
	saved := map[string]any{"run": "go" + strconv.FormatInt(time.Now().UnixMilli(), 36)}
	for name, value := range told.Variables {
		if saved[name], err = expand(value, saved); err != nil {
			return 0, err
		}
	}
	failed := 0
	for _, s := range told.Steps {
		if err := s.play(ctx, saved); err != nil {
			failed++
			fmt.Printf("FAIL go: %s: %v\n", s.Name, err)
		} else {
			fmt.Printf("ok   go: %s\n", s.Name)
		}
	}
	fmt.Printf("go: %d passed, %d failed\n", len(told.Steps)-failed, failed)
	return failed, nil
}

// answer is what came back: a typed value or a typed problem, as JSON again.
type answer struct {
	status  int
	header  http.Header
	value   any
	problem string
}

func (s *step) play(ctx context.Context, saved map[string]any) error {
	arguments, err := expand(s.Arguments, saved)
	if err != nil {
		return err
	}
	body, err := expand(s.Body, saved)
	if err != nil {
		return err
	}
	token, known := os.LookupEnv(s.holder())
	if !known {
		token = s.holder()
	}
	c, err := client.NewClientWithResponses(os.Getenv("OCORE_AUDIT_URL")+"/api",
		client.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
			r.Header.Set("Authorization", "Bearer "+token)
			return nil
		}))
	if err != nil {
		return err
	}
	given, _ := arguments.(map[string]any)
	got, err := call(ctx, c, s, given, body)
	if err != nil {
		return err
	}
	if s.Walk {
		if err := walk(ctx, c, s, given, got); err != nil {
			return err
		}
	}
	return s.Expect.hold(got, saved)
}

// walk follows nextCursor and appends the further pages to the first.
func walk(ctx context.Context, c *client.ClientWithResponses, s *step, arguments map[string]any, first *answer) error {
	whole, _ := first.value.(map[string]any)
	member := "items"
	if whole["logs"] != nil {
		member = "logs"
	}
	entries, _ := whole[member].([]any)
	for page := whole; page["nextCursor"] != nil; {
		arguments["cursor"] = page["nextCursor"]
		next, err := call(ctx, c, s, arguments, nil)
		if err != nil {
			return err
		}
		if page, _ = next.value.(map[string]any); page == nil || len(entries) > 1000 {
			return fmt.Errorf("the walk doesn't end: status %d", next.status)
		}
		more, _ := page[member].([]any)
		entries = append(entries, more...)
	}
	whole[member] = entries
	return nil
}

// call maps an operation to the generated method.
func call(ctx context.Context, c *client.ClientWithResponses, s *step, arguments map[string]any, body any) (*answer, error) {
	id, _ := arguments["id"].(string)
	kind, _ := arguments["type"].(string)
	switch s.Call {
	case "createAuditLog":
		params := as[client.CreateAuditLogParams](arguments)
		if s.ContentType != "" {
			return typed(c.CreateAuditLogWithBodyWithResponse(ctx, &params, s.ContentType, bytes.NewReader(encode(body))))
		}
		return typed(c.CreateAuditLogWithResponse(ctx, &params, as[client.NewAuditLog](body)))
	case "createAuditLogBatch":
		params := as[client.CreateAuditLogBatchParams](arguments)
		return typed(c.CreateAuditLogBatchWithResponse(ctx, &params, as[client.NewAuditLogBatch](body)))
	case "getAuditLog":
		params := as[client.GetAuditLogParams](arguments)
		return typed(c.GetAuditLogWithResponse(ctx, id, &params))
	case "getAuditLogProof":
		params := as[client.GetAuditLogProofParams](arguments)
		return typed(c.GetAuditLogProofWithResponse(ctx, id, &params))
	case "getAuditLogCheckpoint":
		params := as[client.GetAuditLogCheckpointParams](arguments)
		return typed(c.GetAuditLogCheckpointWithResponse(ctx, &params))
	case "getAuditLogConsistency":
		params := as[client.GetAuditLogConsistencyParams](arguments)
		return typed(c.GetAuditLogConsistencyWithResponse(ctx, &params))
	case "listAuditLogKeys":
		params := as[client.ListAuditLogKeysParams](arguments)
		return typed(c.ListAuditLogKeysWithResponse(ctx, &params))
	case "listAuditLogs":
		params := as[client.ListAuditLogsParams](arguments)
		return typed(c.ListAuditLogsWithResponse(ctx, &params))
	case "listResourceAuditLogs":
		params := as[client.ListResourceAuditLogsParams](arguments)
		return typed(c.ListResourceAuditLogsWithResponse(ctx, kind, id, &params))
	case "exportAuditLogs":
		params := as[client.ExportAuditLogsParams](arguments)
		return typed(c.ExportAuditLogsWithResponse(ctx, &params))
	case "getAuditLogHistogram":
		params := as[client.GetAuditLogHistogramParams](arguments)
		return typed(c.GetAuditLogHistogramWithResponse(ctx, &params))
	case "listAuditLogFacets":
		params := as[client.ListAuditLogFacetsParams](arguments)
		return typed(c.ListAuditLogFacetsWithResponse(ctx, &params))
	case "listAuditLogValues":
		params := as[client.ListAuditLogValuesParams](arguments)
		return typed(c.ListAuditLogValuesWithResponse(ctx, &params))
	case "tailAuditLogs":
		params := as[client.TailAuditLogsParams](arguments)
		return typed(c.TailAuditLogsWithResponse(ctx, &params))
	case "createAdminAuditLog":
		return typed(c.CreateAdminAuditLogWithResponse(ctx, encode(body)))
	case "listAdminAuditLogs":
		params := as[client.ListAdminAuditLogsParams](arguments)
		return typed(c.ListAdminAuditLogsWithResponse(ctx, &params))
	case "getAdminAuditLogProof":
		return typed(c.GetAdminAuditLogProofWithResponse(ctx, id))
	case "listAdminAuditLogKeys":
		return typed(c.ListAdminAuditLogKeysWithResponse(ctx))
	}
	return nil, fmt.Errorf("no operation %s", s.Call)
}

// typed takes out of a generated response what the client made of the status. A status
// without a type of its own in the client is an error.
func typed[R any](response *R, err error) (*answer, error) {
	if err != nil {
		return nil, err
	}
	of := reflect.ValueOf(response).Elem()
	whole := of.FieldByName("HTTPResponse").Interface().(*http.Response)
	got := &answer{status: whole.StatusCode, header: whole.Header}
	if strings.HasPrefix(whole.Header.Get("Content-Type"), "text/csv") {
		// The generated client types one media type of an answer; the other is in Body.
		got.value, err = readCSV(of.FieldByName("Body").Bytes())
		return got, err
	}
	if strings.HasPrefix(whole.Header.Get("Content-Type"), "text/event-stream") {
		return got, readEvents(string(of.FieldByName("Body").Bytes()), &got.value)
	}
	for _, name := range []string{"JSON", "ApplicationProblemJSON"} {
		field := of.FieldByName(name + strconv.Itoa(whole.StatusCode))
		if !field.IsValid() || field.IsNil() {
			continue
		}
		if problem, is := field.Interface().(*client.Problem); is {
			got.problem = problem.Type[strings.LastIndexByte(problem.Type, '/')+1:]
		}
		return got, decode(encode(field.Interface()), &got.value)
	}
	return nil, fmt.Errorf("the client has no type for status %d: %s", whole.StatusCode, of.FieldByName("Body").Bytes())
}

// readEvents makes a tail's entries the items of an object, and its end a member.
func readEvents(text string, value *any) error {
	items, end := []any{}, any(nil)
	for event := range strings.SplitSeq(text, "\n\n") {
		_, data, found := strings.Cut(event, "data: ")
		if !found {
			continue
		}
		var decoded any
		if err := decode([]byte(data), &decoded); err != nil {
			return err
		}
		switch {
		case strings.Contains(event, "event: entry\n"):
			items = append(items, decoded)
		case strings.Contains(event, "event: end\n"):
			end = decoded
		}
	}
	*value = map[string]any{"items": items, "end": end}
	return nil
}

func readCSV(text []byte) (any, error) {
	lines, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil || len(lines) == 0 {
		return nil, errors.Join(errors.New("no CSV"), err)
	}
	header, rows := make([]any, len(lines[0])), make([]any, len(lines)-1)
	for i, name := range lines[0] {
		header[i] = name
	}
	for i, line := range lines[1:] {
		row := map[string]any{}
		for j, cell := range line {
			row[lines[0][j]] = cell
		}
		rows[i] = row
	}
	return map[string]any{"header": header, "rows": rows}, nil
}

// as gives a JSON value a generated type.
func as[T any](value any) T {
	var typed T
	if value != nil {
		if err := decode(encode(value), &typed); err != nil {
			panic(fmt.Sprintf("%v is no %T: %v", value, typed, err))
		}
	}
	return typed
}

func encode(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return text
}

func decode(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return decoder.Decode(into)
}
