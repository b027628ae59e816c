package keystored

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"nexus.internal/svc/keystore"
	"nexus.internal/svc/statefs"
)

// What is kept in the store of the partition. A service has its id in place of the
// sixteen digits.
const (
	rootKey     = "root"        // the secret of which all others' keys are made
	identityKey = "identity"    // seed of the device's key, sealed
	markKey     = "provisioned" // public key of the device: there is an identity
	secretKey   = "%016x/%s"    // a secret of that name, sealed
	epochKey    = "epoch/%016x" // u64
)

// rootBytes is the length of the root secret.
const rootBytes = 32

// The ways for a partition to hold no keys that can be used. None of them is a reason to
// make new ones.
var (
	errIncomplete = errors.New("keystored: some of root secret, identity and mark is missing")
	errNotBlank   = errors.New("keystored: no store, but the partition is not blank")
	errIdentity   = errors.New("keystored: the identity is not the one that was provisioned")
)

// errBackwards refuses an epoch that is less than the one before.
var errBackwards = errors.New("keystored: the epoch is less than it was")

// vault is an open store with an identity in it. Its methods may be used by several
// goroutines.
type vault struct {
	store  *statefs.Store
	keys   keys
	public ed25519.PublicKey
	made   bool // by this opening

	mu sync.Mutex // held over what first reads and then changes
}

// options of the store. What is in it is not trusted for coming out of it: it is sealed
// by this package, and the key of the store, which has to be known before the root
// secret is, is nobody's secret. Nothing is cached, so that nothing stays in memory.
func options() statefs.Options {
	return statefs.Options{Random: rand.Reader, MaxKeys: 2048, CacheBytes: 1}
}

// openVault opens the keys of a partition, and makes them if there never were any: the
// partition is blank, or holds an empty store. Everything else that is not as it should be
// is an error, and changes nothing that is kept: a device that cannot read its identity has
// none, rather than a new one.
func openVault(dev statefs.Block) (*vault, error) {
	store, err := statefs.Open(dev, options())
	if errors.Is(err, statefs.ErrNoStore) {
		if err := blank(dev); err != nil {
			return nil, err
		}
		if err := statefs.Format(dev, options()); err != nil {
			return nil, err
		}
		store, err = statefs.Open(dev, options())
	}
	if err != nil {
		return nil, err
	}
	v := &vault{store: store}
	if err := v.load(); err != nil {
		v.wipe()
		return nil, err
	}
	return v, nil
}

// firstSlot is how much of a partition a power cut during the first boot may leave
// behind: the first superblock of a store that has no second one yet.
const firstSlot = 4096

// blank reports a partition on which anything was ever written.
func blank(dev statefs.Block) error {
	b := make([]byte, 64<<10)
	for at := int64(firstSlot); at < dev.Size(); at += int64(len(b)) {
		b = b[:min(int64(len(b)), dev.Size()-at)]
		if err := dev.Read(b, at); err != nil {
			return err
		}
		if len(bytes.Trim(b, "\x00")) != 0 {
			return errNotBlank
		}
	}
	return nil
}

// load reads root secret and identity, or makes them in an empty store.
func (v *vault) load() error {
	all, err := v.store.List("", "", 1)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		if err := v.provision(); err != nil {
			return fmt.Errorf("first boot: %w", err)
		}
		v.made = true
	}
	root, err := v.need(rootKey, rootBytes)
	if err != nil {
		return err
	}
	v.keys.use(root)
	clear(root)
	if v.public, err = v.need(markKey, ed25519.PublicKeySize); err != nil {
		return err
	}
	key, err := v.identity()
	if err != nil {
		return err
	}
	defer clear(key)
	if !v.public.Equal(key.Public()) {
		return errIdentity
	}
	return nil
}

// need returns a value without which there are no keys.
func (v *vault) need(name string, length int) ([]byte, error) {
	b, _, err := v.store.Get(nil, name)
	switch {
	case errors.Is(err, statefs.ErrNotFound):
		return nil, fmt.Errorf("%w: %s", errIncomplete, name)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", name, err)
	case len(b) != length:
		clear(b)
		return nil, fmt.Errorf("%w: %s of %d bytes", errIncomplete, name, len(b))
	}
	return b, nil
}

// provision makes root secret and identity: all or nothing, and only where there is
// nothing.
func (v *vault) provision() error {
	var root, seed [rootBytes]byte
	defer clear(root[:])
	defer clear(seed[:])
	rand.Read(root[:])
	rand.Read(seed[:])
	key := ed25519.NewKeyFromSeed(seed[:])
	defer clear(key)
	v.keys.use(root[:])
	var t statefs.Txn
	for name, value := range map[string][]byte{
		rootKey: root[:], identityKey: v.keys.seal(identityKey, seed[:]), markKey: key.Public().(ed25519.PublicKey),
	} {
		t.Expect(name, 0)
		t.Put(name, value)
	}
	_, err := v.store.Commit(&t)
	return err
}

// identity returns the private key of the device, for its one use. The caller wipes it.
func (v *vault) identity() (ed25519.PrivateKey, error) {
	sealed, err := v.need(identityKey, sealedBytes+ed25519.SeedSize)
	if err != nil {
		return nil, err
	}
	seed, err := v.keys.open(nil, identityKey, sealed)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", identityKey, err)
	}
	defer clear(seed)
	return ed25519.NewKeyFromSeed(seed), nil
}

// sign signs a payload for a service.
func (v *vault) sign(service uint64, payload []byte) ([]byte, error) {
	key, err := v.identity()
	if err != nil {
		return nil, err
	}
	defer clear(key)
	return key.Sign(nil, payload, &ed25519.Options{Context: keystore.Context(service)})
}

// verify reports whether a signature is valid.
func verify(s *keystore.Statement, payload []byte) bool {
	opt := &ed25519.Options{}
	if s.Service != 0 {
		opt.Context = keystore.Context(s.Service)
	}
	return ed25519.VerifyWithOptions(s.Key[:], payload, s.Signature[:], opt) == nil
}

// get returns a secret of a service. The caller wipes it.
func (v *vault) get(service uint64, name string) ([]byte, error) {
	key := fmt.Sprintf(secretKey, service, name)
	sealed, _, err := v.store.Get(nil, key)
	if err != nil {
		return nil, err
	}
	return v.keys.open(nil, key, sealed)
}

// errSecrets refuses a secret too many.
var errSecrets = errors.New("keystored: as many secrets as a service may have")

// put keeps a secret of a service.
func (v *vault) put(service uint64, name string, value []byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	key := fmt.Sprintf(secretKey, service, name)
	kept, err := v.store.List(fmt.Sprintf(secretKey, service, ""), "", keystore.MaxSecrets)
	if err != nil {
		return err
	}
	if _, _, err := v.store.Get(nil, key); errors.Is(err, statefs.ErrNotFound) && len(kept) >= keystore.MaxSecrets {
		return errSecrets
	} else if err != nil && !errors.Is(err, statefs.ErrNotFound) {
		return err
	}
	return v.store.Put(key, v.keys.seal(key, value))
}

// remove removes a secret of a service.
func (v *vault) remove(service uint64, name string) error {
	key := fmt.Sprintf(secretKey, service, name)
	if _, _, err := v.store.Get(nil, key); errors.Is(err, statefs.ErrNotFound) {
		return nil // and nothing is written
	}
	return v.store.Delete(key)
}

// epoch returns the epoch of a service.
func (v *vault) epoch(service uint64) (uint64, error) {
	b, _, err := v.store.Get(nil, fmt.Sprintf(epochKey, service))
	switch {
	case errors.Is(err, statefs.ErrNotFound):
		return 0, nil
	case err != nil:
		return 0, err
	case len(b) != 8:
		return 0, statefs.ErrCorrupt
	}
	return binary.LittleEndian.Uint64(b), nil
}

// advance changes the epoch of a service, which only grows.
func (v *vault) advance(service, to uint64) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	was, err := v.epoch(service)
	switch {
	case err != nil:
		return err
	case to < was:
		return errBackwards
	case to == was:
		return nil
	}
	return v.store.Put(fmt.Sprintf(epochKey, service), binary.LittleEndian.AppendUint64(nil, to))
}

// wipe forgets what secrets are made with.
func (v *vault) wipe() { clear(v.keys.sealing[:]); clear(v.keys.deriving[:]) }
