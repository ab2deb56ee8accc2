package httpapi

import (
	"net/http"
	"net/netip"
	"strings"
)

// proxies are whose word about a caller's address is taken.
type proxies []netip.Prefix

// client is the address that a request came from: its peer's, or, as long as those are
// trusted proxies, the one that X-Forwarded-For says the next came from. What anybody else
// says in that header is not looked at.
func (p proxies) client(r *http.Request) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return "" // a connection that has no address
	}
	client := peer.Addr().Unmap()
	if !p.trust(client) {
		return client.String()
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && p.trust(client); i-- {
		next, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		client = next.Unmap().WithZone("")
	}
	return client.String()
}

func (p proxies) trust(a netip.Addr) bool {
	for _, prefix := range p {
		if prefix.Contains(a) {
			return true
		}
	}
	return false
}
