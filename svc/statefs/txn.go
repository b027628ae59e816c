package statefs

import "nexus.internal/svc/statefs/format"

// Txn is a transaction: changes that are made all or not at all, if what it expects
// holds. The zero value is ready to use. It may be committed again after a failure.
type Txn struct {
	ops []op
}

// op is a change or an expectation.
type op struct {
	kind    format.Kind // Value, Deleted; 0: an expectation
	flags   uint8
	key     string
	value   []byte
	version uint64 // expected
}

// Put gives a key a value, which must not change until the transaction is committed.
func (t *Txn) Put(key string, value []byte) {
	t.ops = append(t.ops, op{kind: format.Value, key: key, value: value})
}

// PutSealed is Put of a value that is encrypted on the device. Its key and its length
// are not.
func (t *Txn) PutSealed(key string, value []byte) {
	t.ops = append(t.ops, op{kind: format.Value, flags: format.Sealed, key: key, value: value})
}

// Delete removes a key, if there is one.
func (t *Txn) Delete(key string) {
	t.ops = append(t.ops, op{kind: format.Deleted, key: key})
}

// Expect makes the transaction fail with [ErrConflict] unless the key has this version
// before any change of it is made. The version 0 is that of a key that is not there.
func (t *Txn) Expect(key string, version uint64) {
	t.ops = append(t.ops, op{key: key, version: version})
}

// Len returns how many changes and expectations there are.
func (t *Txn) Len() int { return len(t.ops) }

// size is what changes take in a commit.
type size struct {
	entries int
	meta    int // bytes of entries and of the values among them
	extents int // bytes
}

// add counts one more change.
func (z *size) add(g *geometry, key, length int, flags uint8) {
	z.entries++
	z.meta += format.EntrySize(key, flags)
	if flags&format.Extent != 0 {
		z.extents += g.sectors(length)
	} else {
		z.meta += length
	}
}

// plus returns both together.
func (z size) plus(o size) size {
	return size{z.entries + o.entries, z.meta + o.meta, z.extents + o.extents}
}

// total is how long the commit is.
func (z size) total(g *geometry) uint64 {
	return uint64(g.sectors(format.HeaderSize+z.meta) + z.extents)
}

// fits reports whether it is no more than one commit.
func (z size) fits(g *geometry) bool {
	return z.entries <= maxEntries && format.HeaderSize+z.meta <= g.meta && z.total(g) <= g.commit
}

// maxEntries bounds the entries of a commit: what it takes to look at each pair of them
// must be less than what a flush takes.
const maxEntries = 256

// measure checks a transaction against the limits and returns its size. It decides
// which values have extents.
func (t *Txn) measure(g *geometry) (z size, err error) {
	if len(t.ops) > MaxOps {
		return z, ErrTooLarge
	}
	for i := range t.ops {
		o := &t.ops[i]
		if len(o.key) == 0 || len(o.key) > MaxKey {
			return z, ErrInvalidKey
		}
		if len(o.value) > g.value {
			return z, ErrTooLarge
		}
		if o.kind == 0 {
			continue
		}
		if len(o.value) > maxInline {
			o.flags |= format.Extent
		}
		z.add(g, len(o.key), len(o.value), o.flags)
	}
	if !z.fits(g) {
		return z, ErrTooLarge
	}
	return z, nil
}
