package auth

import (
	"bytes"
	"errors"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// verifySignature verifies t with k alone (RFC 7515, section 5.2), whose algorithm the
// caller has compared with the token's.
func verifySignature(t token, k key) error {
	algorithm := jwa.SignatureAlgorithm(k.algorithm)
	payload, err := jws.Verify([]byte(t.compact), jws.WithCompact(), jws.WithKey(algorithm, k.material))
	if err != nil {
		return errors.New("the signature doesn't verify") // the library's text may quote the token
	}
	if !bytes.Equal(payload, t.payload) {
		return errors.New("the library verified another payload than was read")
	}
	return nil
}

// sign makes a compact JWS of type JWT with HS256 (RFC 7515, section 5.1).
func sign(payload, secret []byte) (string, error) {
	header := jws.NewHeaders()
	if err := header.Set(jws.TypeKey, "JWT"); err != nil {
		return "", err
	}
	compact, err := jws.Sign(payload, jws.WithKey(jwa.HS256, secret, jws.WithProtectedHeaders(header)))
	return string(compact), err
}
