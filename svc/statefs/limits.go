package statefs

import (
	"io"
	"math/bits"

	"nexus.internal/svc/statefs/format"
)

// Sizes of the interface.
const (
	KeySize = format.KeySize
	MaxKey  = format.MaxKey // bytes of a key
	// MaxValue bounds a value on a device that is large enough for it; see
	// [Store.MaxValue].
	MaxValue = 1 << 20
	// MaxOps bounds the changes and expectations of one transaction.
	MaxOps = 64
)

// Limits of what a store has in memory.
const (
	// MaxKeys is the default of [Options]: 1 MiB with the longest keys.
	MaxKeys = 2048
	// CacheBytes is the default of [Options].
	CacheBytes = 256 << 10
	// MaxCached is the longest value that is cached: longer ones are read in one
	// request of the device, whose cost they dwarf.
	MaxCached = 4096
	// maxChanges is how many changes are known to who watches.
	maxChanges = 256
)

// Sizes of the log.
const (
	// maxInline is the longest value that stands among the entries of its commit. A
	// longer one has sectors of its own, so that reading it reads nothing else.
	maxInline = 512
	// maxMeta bounds the entries of a commit, and with it what opening a store must
	// read at once. A transaction of MaxOps entries of any kind fits.
	maxMeta = 64 << 10
	// maxCommit bounds a commit with its extents.
	maxCommit = 2 << 20
	// movedBytes is how much of values is in memory at once to be moved, beside one more
	// that may be longer than that.
	movedBytes = 256 << 10
	// joinedBytes is up to which length a commit with extents is one write.
	joinedBytes = 64 << 10

	minRing     = 128 << 10
	maxRing     = 1 << 40
	maxSegments = 2048 // 96 KiB in memory
	minSegment  = 4096
	slotBytes   = 4096 // of a superblock, at least
)

// Options say how a store is opened.
type Options struct {
	// Key authenticates all that the store reads, and encrypts what is put sealed.
	Key [KeySize]byte
	// Random is where salts come from. Nothing else is random.
	Random io.Reader
	// MinGeneration is the oldest generation that is no roll-back: the one that
	// [Store.Generation] said when the store was open last, kept where an old copy of
	// this device does not reach.
	MinGeneration uint64
	// MaxKeys and CacheBytes bound memory; 0 is the default.
	MaxKeys, CacheBytes int
	// GroupBytes and GroupKeys bound what the keys of one group may count and how many
	// there may be; 0 is no bound. A group is what keys have before their first slash.
	GroupBytes uint64
	GroupKeys  int
	// ReadOnly opens without writing anything, not even that it was opened.
	ReadOnly bool
}

func (o Options) withDefaults() Options {
	if o.MaxKeys == 0 {
		o.MaxKeys = MaxKeys
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = CacheBytes
	}
	return o
}

// geometry is how a device is divided. All of it follows from the sizes of sectors and
// ring.
type geometry struct {
	sector   int
	slot     int64  // bytes from one superblock to the next
	base     int64  // where the ring begins
	ring     uint64 // its bytes, a multiple of segment
	segment  uint64 // what is moved at once; a power of two
	segments uint64
	meta     int    // longest entries of a commit
	commit   uint64 // longest commit
	value    int    // longest value
	// capacity is how much may count. The rest is what makes moving cheap: below half,
	// what is moved frees at least as much again.
	capacity uint64
	// reserve is kept free for moving: a commit, and what moving everything that counts
	// once may lose to unfilled sectors.
	reserve uint64
	// early is added to it before a commit makes room: so moving begins while there is
	// space for many more commits, and goes on in small steps.
	early uint64
}

// divide returns the geometry of a device. With ring 0 it is as large as possible.
func divide(sector int, size int64, ring uint64) (g geometry, err error) {
	if sector < 512 || sector > 4096 || bits.OnesCount(uint(sector)) != 1 || size < 0 {
		return g, ErrSmall
	}
	g = geometry{sector: sector, slot: slotBytes}
	g.base = format.Slots * g.slot
	room := uint64(max(0, size-g.base))
	if ring == 0 {
		ring = room
	}
	if ring < minRing || ring > room || ring > maxRing {
		return g, ErrSmall
	}
	g.segment = minSegment
	for g.segment < 32<<10 && ring/g.segment >= 64 || ring/g.segment > maxSegments {
		g.segment *= 2
	}
	g.ring = ring / g.segment * g.segment
	g.segments = g.ring / g.segment
	g.commit = min(maxCommit, g.ring/8/uint64(sector)*uint64(sector))
	g.meta = int(min(maxMeta, g.commit/2))
	g.value = int(min(MaxValue, g.commit-uint64(g.meta)))
	g.capacity = g.ring / 16 * 7
	g.reserve = g.commit + g.ring/16
	g.early = g.ring / 16
	return g, nil
}

// sectors returns n bytes in whole sectors.
func (g *geometry) sectors(n int) int { return (n + g.sector - 1) &^ (g.sector - 1) }

// footprint is what an entry counts against the capacity.
func (g *geometry) footprint(key, length int, flags uint8) uint64 {
	n := format.EntrySize(key, flags)
	if flags&format.Extent != 0 {
		length = g.sectors(length)
	}
	return uint64(n + length)
}
