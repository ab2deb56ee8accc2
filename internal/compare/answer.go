package compare

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// side sends calls to one service.
type side struct {
	Side
	http *http.Client
}

// A service that is busy is asked again, so that a rate limit is no difference.
const (
	maxAttempts = 5
	maxPause    = time.Minute
	patience    = 2 * time.Minute // for the beginning of an answer
)

func newSide(s Side) *side {
	s.Base = strings.TrimSuffix(s.Base, "/")
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = patience
	return &side{s, &http.Client{
		Transport: transport,
		// A redirect is an answer like any other, and another host gets no token.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// get reads an answer to its end.
func (s *side) get(ctx context.Context, call string) (*answer, error) {
	for attempt := 1; ; attempt++ {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Base+call, nil)
		if err != nil {
			return nil, err
		}
		if s.Token != "" {
			request.Header.Set("Authorization", "Bearer "+s.Token)
		}
		if s.Organization != "" {
			request.Header.Set("X-Org-Slug", s.Organization)
		}
		response, err := s.http.Do(request)
		if err != nil {
			return nil, err
		}
		pause, busy := busyFor(response)
		if !busy || attempt == maxAttempts {
			return readAnswer(response)
		}
		response.Body.Close()
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func busyFor(response *http.Response) (time.Duration, bool) {
	if response.StatusCode != http.StatusTooManyRequests && response.StatusCode != http.StatusServiceUnavailable {
		return 0, false
	}
	seconds, err := strconv.ParseUint(response.Header.Get("Retry-After"), 10, 16)
	pause := time.Duration(seconds) * time.Second
	return pause, err == nil && pause <= maxPause
}

// answer is what a service said: a list and what stands beside it, or one value.
type answer struct {
	status  int
	media   string
	list    string         // name of the member that is the list; empty in CSV and where there is none
	beside  map[string]any // the other members of a JSON object
	columns []string       // of CSV
	items   *spool         // nil where there is no list
	whole   any            // of JSON that is no object, and of other media types the text
}

func (a *answer) close() {
	if a != nil && a.items != nil {
		a.items.close()
	}
}

// maxWhole bounds an answer that can't be taken apart, and what is read of a refusal.
const maxWhole = 16 << 20

func readAnswer(response *http.Response) (_ *answer, err error) {
	defer response.Body.Close()
	a := &answer{status: response.StatusCode, beside: map[string]any{}}
	a.media, _, _ = mime.ParseMediaType(response.Header.Get("Content-Type"))
	defer func() {
		if err != nil {
			a.close()
			err = fmt.Errorf("the answer of status %d can't be read: %w", a.status, err)
		}
	}()
	body := bufio.NewReader(response.Body)
	switch {
	case a.status != http.StatusOK:
		_, err = io.Copy(io.Discard, io.LimitReader(body, maxWhole))
	case strings.HasSuffix(a.media, "json"):
		err = a.readJSON(body)
	case a.media == "text/csv":
		err = a.readCSV(body)
	default:
		err = a.readText(body)
	}
	return a, err
}

func (a *answer) readText(body io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(body, maxWhole+1))
	if err == nil && len(text) > maxWhole {
		err = fmt.Errorf("it is %s of more than %d bytes", a.media, maxWhole)
	}
	a.whole = string(text)
	return err
}

func (a *answer) readJSON(body io.Reader) error {
	in := json.NewDecoder(body)
	in.UseNumber()
	token, err := in.Token()
	if err != nil {
		return err
	}
	if token == json.Delim('{') {
		err = a.readObject(in)
	} else {
		a.whole, err = finish(in, token)
	}
	if err != nil {
		return err
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return errors.New("it has more than one JSON value")
	}
	return nil
}

// readObject takes the first list among the members for the items, whatever its name is.
func (a *answer) readObject(in *json.Decoder) error {
	for in.More() {
		name, err := in.Token()
		if err != nil {
			return err
		}
		token, err := in.Token()
		if err != nil {
			return err
		}
		if token == json.Delim('[') && a.items == nil {
			a.list = name.(string)
			err = a.readItems(in)
		} else {
			a.beside[name.(string)], err = finish(in, token)
		}
		if err != nil {
			return err
		}
	}
	_, err := in.Token()
	return err
}

func (a *answer) readItems(in *json.Decoder) (err error) {
	if a.items, err = newSpool(); err != nil {
		return err
	}
	for in.More() {
		var item json.RawMessage
		if err := in.Decode(&item); err != nil {
			return err
		}
		if err := a.items.add(item); err != nil {
			return err
		}
	}
	if _, err := in.Token(); err != nil {
		return err
	}
	return a.items.finish()
}

// finish reads the value that a token begins.
func finish(in *json.Decoder, token json.Token) (any, error) {
	switch token {
	case json.Delim('['):
		list := []any{}
		for in.More() {
			value, err := next(in)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		_, err := in.Token()
		return list, err
	case json.Delim('{'):
		object := map[string]any{}
		for in.More() {
			name, err := in.Token()
			if err != nil {
				return nil, err
			}
			if object[name.(string)], err = next(in); err != nil {
				return nil, err
			}
		}
		_, err := in.Token()
		return object, err
	}
	return token, nil
}

func next(in *json.Decoder) (any, error) {
	token, err := in.Token()
	if err != nil {
		return nil, err
	}
	return finish(in, token)
}

// readCSV makes an item of each row: the cells that aren't empty, under their columns' names.
// Line ends are not compared: encoding/csv makes line feeds of CRLF, within cells too.
func (a *answer) readCSV(body *bufio.Reader) (err error) {
	const mark = "\xef\xbb\xbf"
	if begin, _ := body.Peek(len(mark)); string(begin) == mark {
		a.beside["byte order mark"] = true
		body.Discard(len(mark)) //nolint:errcheck // it was seen
	}
	if a.items, err = newSpool(); err != nil {
		return err
	}
	in := csv.NewReader(body)
	in.FieldsPerRecord = -1
	in.ReuseRecord = true
	for first := true; ; first = false {
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			return a.items.finish()
		}
		if err != nil {
			return err
		}
		if first {
			a.columns = append(a.columns, row...)
			continue
		}
		item, err := a.rowItem(row)
		if err != nil {
			return err
		}
		if err := a.items.add(item); err != nil {
			return err
		}
	}
}

func (a *answer) rowItem(row []string) ([]byte, error) {
	item := make(map[string]any, len(row))
	for i, cell := range row {
		column := fmt.Sprintf("column %d", i+1)
		if i < len(a.columns) {
			column = a.columns[i]
		}
		if cell == "" {
			continue
		}
		item[column] = cell
		if isState(column) && json.Valid([]byte(cell)) {
			item[column] = json.RawMessage(cell)
		}
	}
	return encode(item)
}

func encode(v any) (json.RawMessage, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(text.Bytes()), nil
}

// spool keeps items in a file, and of each its id and place.
type spool struct {
	file *os.File
	out  *bufio.Writer
	ends []int64
	keys []string
	seen map[string]int
}

func newSpool() (*spool, error) {
	file, err := os.CreateTemp("", "compare-*")
	if err != nil {
		return nil, err
	}
	return &spool{file: file, out: bufio.NewWriter(file), seen: map[string]int{}}, nil
}

func (s *spool) close() {
	s.file.Close()
	os.Remove(s.file.Name())
}

// add keeps an item. Its key is its id, counted where it comes twice, or else its place.
func (s *spool) add(item []byte) error {
	var named map[string]json.RawMessage
	var id string
	if json.Unmarshal(item, &named) == nil {
		_ = json.Unmarshal(named["id"], &id) // an id of another kind is none
	}
	key := id
	if id == "" {
		key = fmt.Sprintf("#%d", len(s.keys)+1)
	} else if s.seen[id]++; s.seen[id] > 1 {
		key = fmt.Sprintf("%s (again, %d)", id, s.seen[id])
	}
	end := int64(len(item))
	if len(s.ends) > 0 {
		end += s.ends[len(s.ends)-1]
	}
	s.keys, s.ends = append(s.keys, key), append(s.ends, end)
	_, err := s.out.Write(item)
	return err
}

func (s *spool) finish() error { return s.out.Flush() }

func (s *spool) len() int {
	if s == nil {
		return 0
	}
	return len(s.keys)
}

// item reads an item back.
func (s *spool) item(i int) (any, error) {
	var begin int64
	if i > 0 {
		begin = s.ends[i-1]
	}
	in := json.NewDecoder(io.NewSectionReader(s.file, begin, s.ends[i]-begin))
	in.UseNumber()
	var item any
	err := in.Decode(&item)
	return item, err
}
