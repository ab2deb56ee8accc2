package auth

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"

	"ocore.dev/audit/internal/audit"
)

// maxToken bounds a token, in bytes.
const maxToken = 8 << 10

var errTooLong = errors.New("the token has more than 8 KB")

// token is a compact JWS that was read strictly. Nothing in it is verified.
type token struct {
	compact   string
	algorithm string
	kid       string // "" when absent
	typ       string // "" when absent
	payload   []byte
	claims    map[string]json.RawMessage
}

// parseToken is the front door. It takes less than RFC 7515 and RFC 7519 allow, so that
// what the library reads later can't differ from what was read here. No error holds any
// byte of the token, because it goes to the log.
func parseToken(compact string) (token, error) {
	t, err := parseCompact(compact)
	if err != nil {
		return token{}, err
	}
	t.claims, err = readObject(t.payload)
	if err != nil {
		return token{}, errors.New("the payload " + err.Error())
	}
	return t, nil
}

// parseCompact reads everything but the claims: a JWS of any payload. The caller has bounded
// its length.
func parseCompact(compact string) (token, error) {
	parts := strings.SplitN(compact, ".", 4)
	if len(parts) != 3 {
		return token{}, errors.New("the token doesn't have three parts")
	}
	decoded := make([][]byte, len(parts))
	for n, part := range parts {
		var err error
		if decoded[n], err = decodeBase64(part); err != nil {
			return token{}, err
		}
	}
	t := token{compact: compact, payload: decoded[1]}
	if err := t.readHeader(decoded[0]); err != nil {
		return token{}, err
	}
	return t, nil
}

// decodeBase64 decodes non-empty base64url without padding (RFC 7515, section 2).
// Re-encoding refuses what Go's decoder overlooks: line breaks, and with them a second
// spelling of the same bytes.
func decodeBase64(text string) ([]byte, error) {
	value, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || text == "" || base64.RawURLEncoding.EncodeToString(value) != text {
		return nil, errors.New("a part is empty or not canonical base64url")
	}
	return value, nil
}

// readHeader takes the members that mean nothing but themselves (RFC 7515, section 4.1).
// All others change how a token is to be read, or point at a key of its sender's choice.
func (t *token) readHeader(header []byte) error {
	members, err := readObject(header)
	if err != nil {
		return errors.New("the header " + err.Error())
	}
	for name, raw := range members {
		value, ok := stringValue(raw)
		if !ok || value == "" {
			return errors.New("a header member is empty or no string")
		}
		switch name {
		case "alg":
			t.algorithm = value
		case "kid":
			t.kid = value
		case "typ":
			t.typ = value
		case "x5t", "x5t#S256":
		default:
			return errors.New("the header has a member other than alg, kid, typ, x5t and x5t#S256")
		}
	}
	return nil
}

func readObject(text []byte) (map[string]json.RawMessage, error) {
	object, err := audit.CompactObject(nil, text, audit.MaxDepth)
	if refused, ok := errors.AsType[*audit.JSONError](err); ok {
		return nil, errors.New(refused.Reason) // its pointer holds names out of the token
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(object, &members); err != nil {
		return nil, errors.New("is not a JSON object")
	}
	return members, nil
}

// stringValue decodes a JSON string; anything else, null too, is not ok.
func stringValue(raw json.RawMessage) (text string, ok bool) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	err := json.Unmarshal(raw, &text)
	return text, err == nil
}

// stringValues decodes an array of JSON strings; anything else is not ok.
func stringValues(raw json.RawMessage) (texts []string, ok bool) {
	var elements []json.RawMessage
	if len(raw) == 0 || raw[0] != '[' || json.Unmarshal(raw, &elements) != nil {
		return nil, false
	}
	for _, element := range elements {
		text, ok := stringValue(element)
		if !ok {
			return nil, false
		}
		texts = append(texts, text)
	}
	return texts, true
}
