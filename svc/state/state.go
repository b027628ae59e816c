// Package state is what statefsd and those who keep state there have in common: the
// protocol, and a client. The store itself is package statefs.
//
// A key is a path, /state/<namespace>/<name>. Every service owns the namespace of its
// name, and needs nobody's leave there; for another one it needs a yes of policyd, to
// read ([ReadCapability]) and to write ([WriteCapability]). What a change was answered
// with StatusOK for is on the disk.
//
// A value that does not fit into a message goes in memory of the client: it moves a VMO
// with the request, which statefsd reads, or writes to.
package state

import (
	"strings"

	"nexus.internal/ipc"
	"nexus.internal/svc/wire"
)

// Protocol is the language of statefsd.
var Protocol = ipc.Protocol{Magic: [2]byte{'S', 'F'}, Version: 3}

// Operations. Large says that a VMO comes with the request; then a value is its first
// bytes, as many as the payload says in place of it.
const (
	OpPut    = 1 // key str8, value (large: length u32) → version u64
	OpGet    = 2 // key str8 → version u64, value; StatusLarge: length u32
	OpDelete = 3 // key str8 → version u64
	OpList   = 4 // prefix str8, after str8, limit u16 → more u8, items: version u64, length u32, key str8
	OpCommit = 5 // Txn (large: length u32) → version u64
	OpWatch  = 6 // prefix str8, after u64 → next u64 (also with StatusMissed), changes: deleted u8, version u64, key str8
	OpUsage  = 7 // namespace str8 → Usage
	OpCheck  = 8 // → Report
	OpFetch  = 9 // key str8, large, to write to → version u64, length u32; StatusLarge: length u32
)

// Statuses of this protocol, beside those of all. They stay what they are.
const (
	StatusFull       = ipc.StatusService + iota // the disk has no room for it
	StatusQuota                                 // the namespace has no room for it
	StatusConflict                              // a key has not the version that was expected
	StatusInvalidKey                            // no key: see CutKey
	StatusTooLong                               // the value, or the transaction, is longer than any may be
	StatusLarge                                 // the value does not fit into a message
	StatusMissed                                // there were more changes than are remembered
	StatusCorrupt                               // the disk has something else than was put there
	StatusIntegrity                             // somebody without the key has changed the disk
	StatusDevice                                // the disk failed; whether a change was made is not known
	StatusNoStore                               // there is no store: no disk, or none that can be trusted
)

// Limits.
const (
	Root         = "/state/"
	MaxNamespace = 32  // bytes of a namespace
	MaxKey       = 255 // bytes of a key, Root included
	MaxList      = 256 // keys of one page
	// MaxLarge bounds what a VMO brings or takes: the longest value, or a transaction with
	// one and some shorter ones.
	MaxLarge = 1<<20 + 64<<10
)

// ReadCapability returns the name of what policyd must allow who reads a namespace that
// is another's.
func ReadCapability(namespace string) string { return "statefs.read." + namespace }

// WriteCapability returns the name of what policyd must allow who changes a namespace
// that is another's.
func WriteCapability(namespace string) string { return "statefs.write." + namespace }

// CheckCapability is what policyd must allow who has the store checked.
const CheckCapability = "statefs.check"

// CutKey splits a key into namespace and name, and reports whether it is one: below Root
// a namespace (see ValidNamespace), then parts that are not empty, nor "." or "..",
// with slashes between.
func CutKey(key string) (namespace, name string, ok bool) {
	namespace, name, ok = cut(key)
	if !ok || name == "" || len(key) > MaxKey {
		return "", "", false
	}
	for rest := name; ; {
		part, more, found := strings.Cut(rest, "/")
		if part == "" || part == "." || part == ".." {
			return "", "", false
		}
		if !found {
			return namespace, name, true
		}
		rest = more
	}
}

// CutPrefix splits the prefix of keys. Without a slash behind it the namespace is only
// the beginning of one, and whole is false.
func CutPrefix(prefix string) (namespace, name string, whole, ok bool) {
	rest, ok := strings.CutPrefix(prefix, Root)
	if !ok || len(prefix) > MaxKey {
		return "", "", false, false
	}
	if strings.IndexByte(rest, '/') < 0 {
		return rest, "", false, rest == "" || ValidNamespace(rest)
	}
	namespace, name, ok = cut(prefix)
	return namespace, name, ok, ok
}

func cut(key string) (namespace, name string, ok bool) {
	rest, ok := strings.CutPrefix(key, Root)
	if !ok {
		return "", "", false
	}
	namespace, name, ok = strings.Cut(rest, "/")
	for i := 0; i < len(name); i++ {
		if name[i] < ' ' || name[i] == 0x7f { // would spoil what is printed of it
			return "", "", false
		}
	}
	return namespace, name, ok && ValidNamespace(namespace)
}

// ValidNamespace reports whether s can be the name of a namespace, or its beginning: a-z,
// 0-9, dot and dash, with one of the former first.
func ValidNamespace(s string) bool {
	if len(s) < 1 || len(s) > MaxNamespace {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '-' {
			return false
		}
	}
	return s[0] != '.' && s[0] != '-'
}

// Kinds of what a transaction consists of.
const (
	KindPut    = 1
	KindDelete = 2
	KindExpect = 3
)

// Txn is a transaction: changes that are made all or not at all, if what it expects
// holds. The zero value is ready to use.
type Txn struct {
	b []byte
}

// Put gives a key a value.
func (t *Txn) Put(key string, value []byte) {
	t.b = append(wire.AppendU32(t.op(KindPut, key), uint32(len(value))), value...)
}

// Delete removes a key, if there is one.
func (t *Txn) Delete(key string) { t.b = t.op(KindDelete, key) }

// Expect makes the transaction fail with [StatusConflict] unless the key has this version
// before it; 0 is the version of a key that is not there.
func (t *Txn) Expect(key string, version uint64) {
	t.b = wire.AppendU64(t.op(KindExpect, key), version)
}

func (t *Txn) op(kind byte, key string) []byte {
	if len(key) > MaxKey {
		key = "" // which is no key either
	}
	return wire.AppendString8(append(t.b, kind), key)
}

// DecodeTxn calls do for each part of a transaction, and returns StatusOK if it is one.
// The value is part of b.
func DecodeTxn(b []byte, do func(kind byte, key string, version uint64, value []byte) ipc.Status) ipc.Status {
	for r := wire.Read(b); !r.Done(); {
		kind, key := r.U8(), string(r.String8())
		var version uint64
		var value []byte
		switch kind {
		case KindPut:
			n := r.U32()
			if uint64(n) > uint64(len(b)) {
				return ipc.StatusMalformed
			}
			value = r.Bytes(int(n))
		case KindExpect:
			version = r.U64()
		case KindDelete:
		default:
			return ipc.StatusMalformed
		}
		if !r.OK() {
			return ipc.StatusMalformed
		}
		if status := do(kind, key, version, value); status != ipc.StatusOK {
			return status
		}
	}
	return ipc.StatusOK
}

// Item is what a list says about a key.
type Item struct {
	Key     string
	Version uint64 // another, and greater, after each change
	Length  int    // of the value
}

// Append appends the item to a payload.
func (i *Item) Append(b []byte) []byte {
	return wire.AppendString8(wire.AppendU32(wire.AppendU64(b, i.Version), uint32(i.Length)), i.Key)
}

// Change is what a watch tells.
type Change struct {
	Key     string
	Version uint64
	Deleted bool
}

// Append appends the change to a payload.
func (c *Change) Append(b []byte) []byte {
	deleted := byte(0)
	if c.Deleted {
		deleted = 1
	}
	return wire.AppendString8(wire.AppendU64(append(b, deleted), c.Version), c.Key)
}

// Usage is what a namespace has, and what it may have.
type Usage struct {
	Keys, MaxKeys   uint32
	Bytes, MaxBytes uint64
}

// Append appends the payload of u.
func (u *Usage) Append(b []byte) []byte {
	return wire.AppendU64(wire.AppendU64(wire.AppendU32(wire.AppendU32(b, u.Keys), u.MaxKeys), u.Bytes), u.MaxBytes)
}

// Decode reads a payload and reports whether it is a Usage.
func (u *Usage) Decode(b []byte) bool {
	r := wire.Read(b)
	*u = Usage{r.U32(), r.U32(), r.U64(), r.U64()}
	return r.Done()
}

// Report is what a check of the whole store found.
type Report struct {
	Generation uint64 // how often the store has been opened
	Keys       uint32
	Findings   uint32
	First      string // of the findings
}

// Append appends the payload of r.
func (r *Report) Append(b []byte) []byte {
	b = wire.AppendU32(wire.AppendU32(wire.AppendU64(b, r.Generation), r.Keys), r.Findings)
	return wire.AppendString8(b, r.First[:min(len(r.First), 255)])
}

// Decode reads a payload and reports whether it is a Report.
func (r *Report) Decode(b []byte) bool {
	d := wire.Read(b)
	*r = Report{d.U64(), d.U32(), d.U32(), string(d.String8())}
	return d.Done()
}
