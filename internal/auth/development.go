package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"ocore.dev/audit/internal/audit"
)

// NewDevelopmentToken makes an HS256 token that says who principal is, from issued on
// and for lifetime, in the claims that an [Issuer] with that secret reads by default.
// Unless its MaxLifetime says otherwise, that issuer takes at most 24 hours.
//
// It returns an error where no verifier would take the token: for a secret under 32
// bytes, a subject of 0 or over 512, an organization's key that can't be one, a
// lifetime under a second.
func NewDevelopmentToken(secret []byte, principal audit.Principal, issued time.Time, lifetime time.Duration) (string, error) {
	payload, err := json.Marshal(developmentClaims(principal, issued, lifetime))
	if err != nil {
		return "", err
	}
	v, err := NewVerifier([]Issuer{{
		Issuer:      principal.Issuer,
		Algorithms:  []string{"HS256"},
		Secret:      append([]byte{}, secret...), // never nil, so that its length is what is refused
		MaxLifetime: lifetime.String(),
	}}, func() time.Time { return issued })
	if err != nil {
		return "", fmt.Errorf("development token: %w", err)
	}
	compact, err := sign(payload, secret)
	if err != nil {
		return "", fmt.Errorf("development token: %w", err)
	}
	if _, err := v.verify(context.Background(), compact); err != nil {
		return "", fmt.Errorf("development token: %w", err)
	}
	return compact, nil
}

func developmentClaims(principal audit.Principal, issued time.Time, lifetime time.Duration) map[string]any {
	claims := map[string]any{
		"sub": principal.Subject,
		"iat": issued.Unix(),
		"exp": issued.Unix() + int64(lifetime/time.Second),
	}
	if principal.Issuer != "" {
		claims["iss"] = principal.Issuer
	}
	if principal.Name != "" {
		claims["name"] = principal.Name
	}
	if len(principal.Permissions) > 0 {
		claims["permissions"] = principal.Permissions
	}
	switch len(principal.Organizations) {
	case 0:
	case 1:
		claims["org_id"] = principal.Organizations[0]
	default:
		claims["org_ids"] = principal.Organizations
	}
	return claims
}
