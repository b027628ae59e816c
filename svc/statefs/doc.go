// Package statefs keeps values under keys on a block device, such that what was
// acknowledged stays: over power cuts at any moment, torn and reordered writes, a full
// device, failing sectors, and changes by whoever has the device but not its key.
//
// # How
//
// The device holds two superblocks and a ring. A commit is one write to the head of the
// ring: some transactions, their sequence, and checksum and tag over all of it. After
// the write comes a flush, and then the transactions are acknowledged. Commits that are
// wanted at the same time become one. A commit that is cut short fails its checksum, and
// so is not there at all, nor any transaction in it.
//
// Opening a store reads the commits from the tail of the ring to the last one that is
// whole. Each has the sequence that follows and the tag of the one before it, so nothing
// that was there in an earlier round can be taken for the end of this one. Every opening
// is a generation, with a salt of its own.
//
// The ring is kept free by moving: what still counts in its oldest segment is committed
// once more at the head, durably; then a superblock says that the ring begins after it,
// durably; and only then is the space used again.
//
// # In memory
//
// All keys are, each with where its value is; values up to [MaxCached] are as far as the
// cache goes. See [Options] and the limits.
//
// The package does no input or output but through [Block], and has no goroutines of
// its own.
package statefs
