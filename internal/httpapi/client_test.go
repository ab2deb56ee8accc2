package httpapi

import (
	"net/http"
	"net/netip"
	"testing"
)

func TestForwardedHeadersAreBelievedOfTrustedProxiesAlone(t *testing.T) {
	t.Parallel()
	trusted := proxies{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, c := range []struct {
		peer      string
		forwarded []string
		trusting  string // what is told with the proxies above
	}{
		{"192.0.2.1:1", nil, "192.0.2.1"},
		{"192.0.2.1:1", []string{"198.51.100.7"}, "192.0.2.1"}, // anybody's word
		{"10.0.0.1:1", []string{"198.51.100.7"}, "198.51.100.7"},
		{"[::ffff:10.0.0.1]:1", []string{"198.51.100.7"}, "198.51.100.7"},
		{"[fd00::1]:1", []string{"2001:db8::7"}, "2001:db8::7"},
		{"10.0.0.1:1", []string{"203.0.113.9, 198.51.100.7, 10.0.0.2"}, "198.51.100.7"}, // 203… is what 198… said
		{"10.0.0.1:1", []string{"203.0.113.9", "198.51.100.7", "10.0.0.2"}, "198.51.100.7"},
		{"10.0.0.1:1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"10.0.0.1:1", nil, "10.0.0.1"},
		{"10.0.0.1:1", []string{""}, "10.0.0.1"},
		{"10.0.0.1:1", []string{"unknown"}, "10.0.0.1"},
		{"10.0.0.1:1", []string{"198.51.100.7\nx"}, "10.0.0.1"},
		{"10.0.0.1:1", []string{"198.51.100.7, _hidden, 10.0.0.2"}, "10.0.0.2"},
		{"10.0.0.1:1", []string{"fe80::1%eth0\x1b"}, "fe80::1"},
		{"pipe", []string{"198.51.100.7"}, ""},
	} {
		r := &http.Request{RemoteAddr: c.peer, Header: http.Header{"X-Forwarded-For": c.forwarded, "X-Real-Ip": {"198.51.100.8"}, "Forwarded": {"for=198.51.100.9"}}}
		if got := trusted.client(r); got != c.trusting {
			t.Errorf("%s, forwarded for %q, is %q, want %q", c.peer, c.forwarded, got, c.trusting)
		}
		peer, _ := netip.ParseAddrPort(c.peer)
		if got := proxies(nil).client(r); peer.IsValid() && got != peer.Addr().Unmap().String() {
			t.Errorf("without trust %s, forwarded for %q, is %q", c.peer, c.forwarded, got)
		}
	}
}
