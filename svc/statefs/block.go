package statefs

import "errors"

// Block is the device of a store. Its methods may be called by several goroutines at
// once; a store has at most one Write or Flush under way.
//
// Two things are relied on. What was written before a Flush that returns nil is there
// after any power cut. And a cut damages no sector but those that are being written: on
// a device whose physical sectors are larger than the ones that it addresses, SectorSize
// is the size of the physical ones.
type Block interface {
	// SectorSize is the unit of offsets and lengths in bytes: a power of two from 512
	// to 4,096.
	SectorSize() int
	// Size is how many bytes there are.
	Size() int64
	// Read fills p, whole sectors, from an offset on.
	Read(p []byte, offset int64) error
	// Write writes p, whole sectors, from an offset on. It is durable after a Flush.
	Write(p []byte, offset int64) error
	// Flush makes durable what was written.
	Flush() error
}

// The errors of a store. Those of the device are wrapped by [ErrDevice].
var (
	ErrNoStore     = errors.New("statefs: the device holds no store")
	ErrSmall       = errors.New("statefs: the device is too small, or too large")
	ErrCorrupt     = errors.New("statefs: what was acknowledged cannot be read")
	ErrIntegrity   = errors.New("statefs: changed by somebody without the key")
	ErrRolledBack  = errors.New("statefs: an old copy of the store")
	ErrDevice      = errors.New("statefs: device")
	ErrStopped     = errors.New("statefs: stopped after an error of the device") // until it is opened again
	ErrClosed      = errors.New("statefs: closed")
	ErrReadOnly    = errors.New("statefs: opened for reading")
	ErrVersion     = errors.New("statefs: a version of the format that is not known")
	ErrNotFound    = errors.New("statefs: no such key")
	ErrInvalidKey  = errors.New("statefs: no key")
	ErrTooLarge    = errors.New("statefs: more than fits into a value or a transaction")
	ErrFull        = errors.New("statefs: full")
	ErrQuota       = errors.New("statefs: more than a group may have")
	ErrTooManyKeys = errors.New("statefs: too many keys")
	ErrConflict    = errors.New("statefs: not the version that was expected")
	ErrMissed      = errors.New("statefs: changes are no longer known")
)
