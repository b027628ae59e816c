package policyd

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/fxamacker/cbor/v2"

	"nexus.internal/svc/manifest"
	"nexus.internal/svc/policy"
)

// Limits of a policy.
const (
	MaxSubjects     = 64       // as many as a manifest has services
	MaxCapabilities = 64       // of one subject
	MaxBytes        = 12 << 10 // of the encoding: it travels in the boot data, whose limit is 16 KiB
)

// The reasons for which a policy is refused.
var (
	ErrEncoding   = errors.New("policy: not a policy in CBOR")
	ErrTooMany    = errors.New("policy: more than a limit allows")
	ErrCapability = errors.New("policy: bad capability name")
	ErrCollision  = errors.New("policy: two names with one service id")
)

// Rules say which subject has which capabilities. Nothing else is allowed.
type Rules struct {
	grants map[uint64]map[string]bool
	routed map[string]bool // objects that take a route
}

// decoding bounds what CBOR may ask for before it is believed.
var decoding = sync.OnceValue(func() cbor.DecMode {
	mode, err := cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		IndefLength:      cbor.IndefLengthForbidden,
		TagsMd:           cbor.TagsForbidden,
		MaxNestedLevels:  4,
		MaxArrayElements: MaxCapabilities,
		MaxMapPairs:      MaxSubjects,
	}.DecMode()
	if err != nil {
		panic(err) // the options are constants
	}
	return mode
})

// Decode reads the rules that mkimage made of the policy files: a map from service
// names to lists of capabilities.
func Decode(b []byte) (*Rules, error) {
	if len(b) > MaxBytes {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooMany, len(b))
	}
	var file map[string][]string
	if err := decoding().Unmarshal(b, &file); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrEncoding, err)
	}
	return NewRules(file)
}

// NewRules returns the rules for a map from service names to capabilities.
func NewRules(file map[string][]string) (*Rules, error) {
	if len(file) > MaxSubjects {
		return nil, fmt.Errorf("%w: %d subjects", ErrTooMany, len(file))
	}
	r := &Rules{map[uint64]map[string]bool{}, map[string]bool{}}
	for name, caps := range file {
		if len(caps) > MaxCapabilities {
			return nil, fmt.Errorf("%w: %d capabilities of %q", ErrTooMany, len(caps), name)
		}
		id := manifest.ServiceID(strings.ToLower(name))
		if r.grants[id] != nil {
			return nil, fmt.Errorf("%w: %q", ErrCollision, name)
		}
		set := map[string]bool{}
		for _, c := range caps {
			if !validCapability(c) {
				return nil, fmt.Errorf("%w: %.60q of %q", ErrCapability, c, name)
			}
			set[c] = true
			if object, ok := strings.CutPrefix(c, policy.Route); ok {
				r.routed[object] = true
			}
		}
		r.grants[id] = set
	}
	return r, nil
}

func validCapability(c string) bool {
	if len(c) < 1 || len(c) > policy.MaxCapability {
		return false
	}
	for _, b := range []byte(c) {
		switch {
		case b >= 'a' && b <= 'z', b >= '0' && b <= '9', b == '.', b == '-', b == ':', b == '_':
		default:
			return false
		}
	}
	return true
}

// Decide answers a question of asker, a service id that the kernel vouches for.
//
// Everybody may ask about themselves; asking about another subject takes
// [policy.Delegate], whatever the answer would be. A subject that wants to reach an
// object for which any rule names a route needs that route besides.
func (r *Rules) Decide(asker uint64, q policy.Question) (bool, policy.Reason) {
	if q.Subject != asker && !r.grants[asker][policy.Delegate] {
		return false, policy.Spoof
	}
	set := r.grants[q.Subject]
	switch {
	case set == nil:
		return false, policy.NoSubject
	case !set[q.Capability]:
		return false, policy.NoRule
	case q.Capability == policy.Core && r.routed[q.Object] && !set[policy.Route+q.Object]:
		return false, policy.NoRoute
	}
	return true, policy.ByRule
}
