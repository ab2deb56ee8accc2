//go:build no_ui

package viewer

import "net/http"

// Handler serves no page: the binary was built without one.
func Handler(missing http.Handler) http.Handler { return missing }
