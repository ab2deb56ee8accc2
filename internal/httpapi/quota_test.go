package httpapi

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"ocore.dev/audit/internal/audit"
)

func TestLimitsAreRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Limit{
		"50": {50, 100}, "50:200": {50, 200}, "0.5": {0.5, 1}, "0.001:1": {0.001, 1}, "1000000:10000000": {1e6, 1e7},
	} {
		if got, err := ParseLimit(text); err != nil || got != want {
			t.Errorf("%q is %v, want %v: %v", text, got, want, err)
		}
	}
	for _, text := range []string{"", "0", "-1", "x", "NaN", "Inf", "1e9", "50:", "50:0", "50:-1", "50:1.5", "50:100000000", "50:1:1", " 50"} {
		if got, err := ParseLimit(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func member(organization, subject string) *call {
	return &call{organization: organization, principal: audit.Principal{Issuer: "i", Subject: subject}}
}

func TestWhatALimitSaysComesTrue(t *testing.T) {
	t.Parallel()
	b := newQuotas(Limit{10, 5}, Limit{}, nil).buckets[0]
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for i := range 5 {
		if ok, remaining, _ := b.take("ada", now); !ok || remaining != 4-i {
			t.Errorf("call %d: %v, %d remain", i, ok, remaining)
		}
	}
	for range 1000 { // the clock goes on, by less and by more than told
		ok, remaining, wait := b.take("ada", now)
		if ok || remaining != 0 || wait != 1 {
			t.Fatalf("beyond the burst: %v, %d remain, wait %d s", ok, remaining, wait)
		}
		now = now.Add(time.Duration(wait) * time.Second)
		for range 5 { // refilled meanwhile, as the rate says
			if ok, _, _ := b.take("ada", now); !ok {
				t.Fatal("after the wait it is still refused")
			}
		}
	}
	slow := newQuotas(Limit{0.1, 1}, Limit{}, nil).buckets[0]
	slow.take("ada", now)
	if ok, _, wait := slow.take("ada", now.Add(3*time.Second)); ok || wait != 7 {
		t.Errorf("%v, wait %d s, want 7", ok, wait)
	}
}

func TestLimitsKeepCallersApart(t *testing.T) {
	t.Parallel()
	q := newQuotas(Limit{0.001, 2}, Limit{0.001, 3}, nil)
	try := func(c *call) (http.Header, error) {
		header := http.Header{}
		return header, q.take(header, c)
	}
	header, err := try(member("acme", "ada"))
	if err != nil || header.Get("RateLimit") != `"credential";r=1;t=1000, "organization";r=2;t=1000` ||
		header.Get("RateLimit-Policy") != `"credential";q=2;w=2000, "organization";q=3;w=3000` || header.Get("Retry-After") != "" {
		t.Errorf("%v %v", header, err)
	}
	try(member("acme", "ada"))
	for range 3 { // what her own limit refuses costs her organization nothing
		header, err = try(member("acme", "ada"))
		if !errors.Is(err, errLimited) || header.Get("RateLimit") != `"credential";r=0;t=1000` || header.Get("Retry-After") != "1000" {
			t.Errorf("%v %v", header, err)
		}
	}
	if _, err = try(member("acme", "grace")); err != nil {
		t.Error(err)
	}
	if header, err = try(member("acme", "alan")); !errors.Is(err, errLimited) || !strings.HasPrefix(header.Get("RateLimit"), `"organization";r=0`) {
		t.Errorf("the organization's fourth: %v %v", header, err)
	}
	if _, err = try(member("globex", "alan")); err != nil {
		t.Error(err)
	}
}

func TestLimitsRememberABoundedNumberOfCallers(t *testing.T) {
	t.Parallel()
	q := newQuotas(Limit{1, 1}, Limit{}, nil)
	for i := range 2 * maxBuckets {
		if err := q.take(http.Header{}, member("acme", strconv.Itoa(i))); err != nil {
			t.Fatal(err)
		}
	}
	if n := q.buckets[0].known.Len(); n != maxBuckets {
		t.Errorf("%d are remembered", n)
	}
}
