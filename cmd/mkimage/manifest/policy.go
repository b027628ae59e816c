package manifest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"nexus.internal/ipc/abi"
	"nexus.internal/svc/manifest"
	"nexus.internal/svc/policy"
	"nexus.internal/svc/rng"
)

// maxCaps bounds the capabilities of one service.
const maxCaps = 64

// entropy is the service that gives it out.
const entropy = "rngd"

// ErrRule is the reason for which a policy file is refused.
var ErrRule = errors.New("bad rule")

// Rules is what policyd decides by: the capabilities of each service. A service
// that is not in it has none.
type Rules map[string][]string

// AddRules adds the rules of one policy file, a table [allow] of lists
// "service" = ["capability", …]. Files are added in the order of their names; a
// later list replaces the earlier one of the same service. Case does not matter.
func (r Rules) AddRules(name, text string) error {
	var f struct{ Allow map[string][]string }
	if err := decode(text, &f); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	seen := make(map[string]bool, len(f.Allow))
	for service, caps := range f.Allow {
		key := strings.ToLower(service)
		if seen[key] {
			return fmt.Errorf("%s: %w: %q is there twice, in different case", name, ErrRule, key)
		}
		seen[key] = true
		if key == "" || len(key) > abi.MaxName {
			return fmt.Errorf("%s: %w: service name %q", name, ErrRule, key)
		}
		if len(caps) > maxCaps {
			return fmt.Errorf("%s: %w: %q has %d capabilities", name, ErrRule, key, len(caps))
		}
		list := make([]string, 0, len(caps))
		for _, c := range caps {
			c = strings.ToLower(c)
			if c == "" || len(c) > policy.MaxCapability || strings.ContainsFunc(c, notCapRune) {
				return fmt.Errorf("%s: %w: %q has capability %q", name, ErrRule, key, c)
			}
			list = append(list, c)
		}
		slices.Sort(list)
		r[key] = slices.Compact(list)
	}
	return nil
}

func notCapRune(c rune) bool {
	return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' && c != ':'
}

// CheckGrants reports a service that the policy would keep from doing what the
// manifest wires it for.
func (s *System) CheckGrants(r Rules) error {
	if s.Manifest.Lookup(entropy) != nil && !slices.Contains(r[s.Root], rng.Capability) {
		return fmt.Errorf("%w: %q starts services without %q", ErrGrant, s.Root, rng.Capability)
	}
	for _, svc := range s.Manifest.Services {
		if len(svc.Calls) > 0 && !slices.Contains(r[svc.Name], policy.Core) {
			return fmt.Errorf("%w: %q calls %q without %q", ErrGrant, svc.Name, svc.Calls[0].Name, policy.Core)
		}
		if svc.Spawn && !slices.Contains(r[svc.Name], policy.Spawn) {
			return fmt.Errorf("%w: %q spawns without %q", ErrGrant, svc.Name, policy.Spawn)
		}
		for _, name := range svc.Devices {
			if d, _ := manifest.ParseDevice(name); !slices.Contains(r[svc.Name], policy.Device+d.Class) {
				return fmt.Errorf("%w: %q owns the device %q without %q", ErrGrant, svc.Name, name, policy.Device+d.Class)
			}
		}
		if svc.QoS != 0 {
			for _, needed := range policy.ForQoS(svc.QoS) {
				if !slices.Contains(r[svc.Name], needed) {
					return fmt.Errorf("%w: %q has its class or share without %q", ErrGrant, svc.Name, needed)
				}
			}
		}
		for _, needed := range []string{policy.Create, rng.Capability} { // the latter for its children
			if svc.Spawner && !slices.Contains(r[svc.Name], needed) {
				return fmt.Errorf("%w: %q is a spawner without %q", ErrGrant, svc.Name, needed)
			}
		}
	}
	return nil
}
