package selftest

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
	"testing/fstest"

	bpf "github.com/seed-36717feb/libbpfgo"
)

// Only the errors that a case lists in its refusals, each at its step, skip the case.
func TestSkips(t *testing.T) {
	objects := fstest.MapFS{"case.bpf.o": {}}
	here := Need(func(_ *Test, run func() error) error { return run() })
	missing := Need(func(*Test, func() error) error { return skipIf(syscall.ENODEV, syscall.ENODEV) })
	dirty := Need(func(_ *Test, run func() error) error { return errors.Join(run(), errors.New("it can't be removed")) })
	refusals := Refusals{Loading: {syscall.EINVAL, Locked}, Attaching: {ENOTSUPP}}
	rejected := func(log string) error { return &rejection{&bpf.VerifierError{Log: log}} }
	for name, test := range map[string]struct {
		need  Need
		err   error
		skips bool
	}{
		"named":                       {here, At(Loading, syscall.EINVAL), true},
		"named, wrapped":              {here, fmt.Errorf("program: %w", At(Attaching, fmt.Errorf("attach: %w", ENOTSUPP))), true},
		"named, cleaned up":           {here, errors.Join(At(Loading, syscall.EINVAL), nil), true},
		"named twice":                 {here, errors.Join(At(Loading, syscall.EINVAL), At(Attaching, ENOTSUPP)), true},
		"with another":                {here, errors.Join(At(Loading, syscall.EINVAL), syscall.EINVAL), false},
		"not cleaned up after":        {dirty, At(Loading, syscall.EINVAL), false},
		"another step":                {here, At(Attaching, syscall.EINVAL), false},
		"no step":                     {here, syscall.EINVAL, false},
		"another error":               {here, At(Loading, syscall.ENOENT), false},
		"unsupported, without a step": {here, fmt.Errorf("attach: %w", errors.ErrUnsupported), false},
		"unsupported, but not named":  {here, At(Loading, syscall.EOPNOTSUPP), false},
		"as text":                     {here, At(Loading, fmt.Errorf("found: %v", syscall.EINVAL)), false},
		"locked":                      {here, At(Loading, syscall.EPERM), true},
		"locked, not verified":        {here, At(Loading, rejected("processed 0 insns")), true},
		"rejected":                    {here, At(Loading, rejected("processed 3 insns")), false},
		"needs what isn't there":      {missing, nil, true},
		"passes":                      {here, nil, false},
		"lacks what it doesn't need":  {here, skipIf(syscall.EEXIST, syscall.ENODEV), false},
	} {
		c := Case{Name: "case", Needs: []Need{here, test.need}, Refusals: refusals, Run: func(*Test) error { return test.err }}
		if err := c.run(objects); consists(err, isSkip) != test.skips || (err == nil) != (name == "passes") {
			t.Errorf("%s: %v is a skip: %v", name, err, !test.skips)
		}
	}
}

// A rejection is an EPERM that also has a verifier error.
type rejection struct{ verifier *bpf.VerifierError }

func (r *rejection) Error() string   { return "rejected" }
func (r *rejection) Unwrap() []error { return []error{r.verifier, syscall.EPERM} }

// Needs are provided while a case runs: in their order, and removed in the reverse order.
func TestNeeds(t *testing.T) {
	var order []string
	need := func(name string) Need {
		return func(_ *Test, run func() error) error {
			order = append(order, name)
			defer func() { order = append(order, "not "+name) }()
			return run()
		}
	}
	c := Case{Name: "case", Needs: []Need{need("a"), need("b")}, Run: func(test *Test) error {
		order = append(order, string(test.Object))
		return nil
	}}
	if err := c.run(fstest.MapFS{"case.bpf.o": {Data: []byte("object")}}); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(order), "[a b object not b not a]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if err := c.run(fstest.MapFS{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without its object: %v", err)
	}
}
