package keystored

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"nexus.internal/svc/keystore"
	"nexus.internal/svc/statefs"
	"nexus.internal/svc/statefs/disksim"
)

const partition = 1 << 20

func blankDisk() *disksim.Disk { return disksim.New(512, partition) }

func mustOpen(t *testing.T, d statefs.Block) *vault {
	t.Helper()
	v, err := openVault(d)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// An identity is made on the first boot and is there on every later one, with all that
// was kept, also after a power cut.
func TestIdentityLasts(t *testing.T) {
	d := blankDisk()
	v := mustOpen(t, d)
	if !v.made {
		t.Error("the first boot makes nothing")
	}
	var key [keystore.KeySize]byte
	v.keys.derive(key[:], 7, keystore.LabelState)
	if err := errors.Join(v.put(7, "a", []byte("secret")), v.advance(7, 5)); err != nil {
		t.Fatal(err)
	}
	again := mustOpen(t, disksim.Of(512, d.After(rand.New(rand.NewPCG(1, 2)))))
	var derived [keystore.KeySize]byte
	again.keys.derive(derived[:], 7, keystore.LabelState)
	got, err := again.get(7, "a")
	epoch, err2 := again.epoch(7)
	if again.made || !again.public.Equal(v.public) || derived != key || string(got) != "secret" || epoch != 5 || err != nil || err2 != nil {
		t.Errorf("made %v, %x and %x, %q, epoch %d: %v, %v", again.made, again.public, v.public, got, epoch, err, err2)
	}
	if other := mustOpen(t, blankDisk()); other.public.Equal(v.public) {
		t.Error("two devices have one identity")
	}
}

// A power cut at any moment of the first boot leaves a disk that either has an identity,
// which stays, or none, which the next boot makes.
func TestFirstBootCut(t *testing.T) {
	cut := 0
	for n := 0; ; n++ {
		d := blankDisk()
		d.CutAfter(n)
		_, err := openVault(d)
		if err == nil {
			if n < 4 {
				t.Errorf("a first boot writes %d sectors", n)
			}
			break
		}
		for seed := range uint64(8) {
			after := disksim.Of(512, d.After(rand.New(rand.NewPCG(seed, uint64(n)))))
			first, err := openVault(after)
			if err != nil {
				t.Fatalf("cut after %d sectors, seed %d: %v", n, seed, err)
			}
			if second := mustOpen(t, after); !second.public.Equal(first.public) || second.made {
				t.Fatalf("cut after %d sectors, seed %d: another identity", n, seed)
			}
			cut++
		}
	}
	if cut < 32 {
		t.Errorf("only %d cuts", cut)
	}
}

// What cannot be read is an error, and stays what it is: nothing is made in its place.
func TestRejectUnreadable(t *testing.T) {
	whole := blankDisk()
	identity := mustOpen(t, whole).public
	broken := errors.New("unreadable")
	drop := func(name string) func(*testing.T, *disksim.Disk) {
		return func(t *testing.T, d *disksim.Disk) {
			s, err := statefs.Open(d, options())
			if err == nil {
				err = s.Delete(name)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	put := func(name string, change func([]byte) []byte) func(*testing.T, *disksim.Disk) {
		return func(t *testing.T, d *disksim.Disk) {
			s, err := statefs.Open(d, options())
			if err != nil {
				t.Fatal(err)
			}
			b, _, err := s.Get(nil, name)
			if err == nil {
				err = s.Put(name, change(b))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	flip := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	for name, tt := range map[string]struct {
		damage func(*testing.T, *disksim.Disk)
		want   error
	}{
		"no root secret": {drop(rootKey), errIncomplete},
		"no identity":    {drop(identityKey), errIncomplete},
		"no mark":        {drop(markKey), errIncomplete},
		"only a secret of a service": {func(t *testing.T, d *disksim.Disk) {
			put(rootKey, func(b []byte) []byte { return b })(t, d)
			for _, name := range []string{rootKey, identityKey, markKey} {
				drop(name)(t, d)
			}
			s, _ := statefs.Open(d, options())
			if err := s.Put("0000000000000007/a", []byte("x")); err != nil {
				t.Fatal(err)
			}
		}, errIncomplete},
		"another root secret":  {put(rootKey, flip), errSeal},
		"a short root secret":  {put(rootKey, func(b []byte) []byte { return b[1:] }), errIncomplete},
		"a changed identity":   {put(identityKey, flip), errSeal},
		"another format":       {put(identityKey, func(b []byte) []byte { b[0]++; return b }), errSeal},
		"a changed mark":       {put(markKey, flip), errIdentity},
		"superblocks of zeros": {func(t *testing.T, d *disksim.Disk) { d.Write(make([]byte, 8192), 0); d.Flush() }, errNotBlank},
		"superblocks of noise": {func(t *testing.T, d *disksim.Disk) { d.Write(bytes.Repeat([]byte{0x5a}, 8192), 0); d.Flush() }, statefs.ErrCorrupt},
		"an unreadable superblock": {func(t *testing.T, d *disksim.Disk) {
			d.Fault(func(o disksim.Op) error {
				if o.Kind == disksim.Read && o.Offset == 0 {
					return broken
				}
				return nil
			})
		}, broken},
		"an unreadable log": {func(t *testing.T, d *disksim.Disk) {
			d.Fault(func(o disksim.Op) error {
				if o.Kind == disksim.Read && o.Offset >= 8192 {
					return broken
				}
				return nil
			})
		}, broken},
		"unreadable everything": {func(t *testing.T, d *disksim.Disk) { d.Fault(func(disksim.Op) error { return broken }) }, broken},
	} {
		t.Run(name, func(t *testing.T) {
			d := disksim.Of(512, whole.Image())
			tt.damage(t, d)
			before := d.Image()
			if v, err := openVault(d); !errors.Is(err, tt.want) {
				t.Fatalf("%v, want %v (made %v)", err, tt.want, v != nil && v.made)
			}
			// The identity that was there is not written over: the same key, or nothing, comes
			// out of what the disk holds now.
			d.Fault(nil)
			if v, err := openVault(d); err == nil && !v.public.Equal(identity) {
				t.Error("there is another identity")
			}
			if ring := 2 * firstSlot; !bytes.Equal(before[ring:], d.Image()[ring:]) { // an opening writes a superblock
				t.Error("something was written")
			}
		})
	}
}

// While the first boot looks whether the partition is blank, an error is no yes.
func TestRejectUnreadableBlank(t *testing.T) {
	d := blankDisk()
	broken := errors.New("unreadable")
	d.Fault(func(o disksim.Op) error {
		if o.Kind == disksim.Read && o.Offset+int64(o.Length) == partition {
			return broken
		}
		return nil
	})
	if _, err := openVault(d); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	if len(bytes.Trim(d.Image(), "\x00")) != 0 {
		t.Error("it was written")
	}
}

// What is kept is sealed: of root secret, identity and secrets only the first is on the
// disk as it is, and nothing is sealed with a nonce twice.
func TestSealed(t *testing.T) {
	d := blankDisk()
	v := mustOpen(t, d)
	secret := []byte("a secret of a service, long enough")
	for range 3 {
		if err := v.put(1, "name", secret); err != nil {
			t.Fatal(err)
		}
	}
	key, err := v.identity()
	if err != nil {
		t.Fatal(err)
	}
	image := d.Image()
	for name, b := range map[string][]byte{"secret": secret, "seed": key.Seed(), "sealing key": v.keys.sealing[:], "deriving key": v.keys.deriving[:]} {
		if bytes.Contains(image, b) {
			t.Errorf("the %s is on the disk", name)
		}
	}
	nonces := map[string]bool{}
	for i := range 1000 {
		sealed := v.keys.seal("x", secret)
		nonce := string(sealed[1:25])
		if nonces[nonce] {
			t.Fatalf("seal %d has the nonce of another", i)
		}
		nonces[nonce] = true
	}
}

// What is sealed opens under its name alone, and only whole.
func TestRejectSealed(t *testing.T) {
	v := mustOpen(t, blankDisk())
	sealed := v.keys.seal("one", []byte("text"))
	if b, err := v.keys.open(nil, "one", sealed); err != nil || string(b) != "text" {
		t.Fatalf("%q, %v", b, err)
	}
	if _, err := v.keys.open(nil, "two", sealed); err != errSeal {
		t.Errorf("another name: %v", err)
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 0x10
		if _, err := v.keys.open(nil, "one", changed); err != errSeal {
			t.Errorf("byte %d changed: %v", i, err)
		}
		if _, err := v.keys.open(nil, "one", sealed[:i]); err != errSeal {
			t.Errorf("%d bytes: %v", i, err)
		}
	}
	other := mustOpen(t, blankDisk())
	if _, err := other.keys.open(nil, "one", sealed); err != errSeal {
		t.Errorf("another device: %v", err)
	}
}

// A signature is of the device, for one service and one payload.
func TestSign(t *testing.T) {
	v := mustOpen(t, blankDisk())
	payload := []byte("payload")
	sig, err := v.sign(5, payload)
	if err != nil {
		t.Fatal(err)
	}
	s := &keystore.Statement{Service: 5}
	copy(s.Key[:], v.public)
	copy(s.Signature[:], sig)
	if !verify(s, payload) {
		t.Error("it is not valid")
	}
	s.Service = 6
	if verify(s, payload) {
		t.Error("it is valid for another service")
	}
	s.Service = 0
	if verify(s, payload) || ed25519.Verify(v.public, payload, sig) {
		t.Error("it is valid for nobody in particular")
	}
	s.Service = 5
	if verify(s, payload[1:]) {
		t.Error("it is valid for another payload")
	}
}

// Each service has its own secrets, keys and epoch, whatever the others have.
func TestServicesApart(t *testing.T) {
	v := mustOpen(t, blankDisk())
	for service := range uint64(3) {
		if err := errors.Join(v.put(service, "same", fmt.Append(nil, "of ", service)), v.advance(service, 10+service)); err != nil {
			t.Fatal(err)
		}
	}
	derived := map[[keystore.KeySize]byte]string{}
	for service := range uint64(3) {
		if got, err := v.get(service, "same"); err != nil || string(got) != fmt.Sprint("of ", service) {
			t.Errorf("service %d: %q, %v", service, got, err)
		}
		if n, err := v.epoch(service); n != 10+service || err != nil {
			t.Errorf("service %d: epoch %d, %v", service, n, err)
		}
		for _, label := range []string{"a", "b"} {
			var key [keystore.KeySize]byte
			v.keys.derive(key[:], service, label)
			if was := derived[key]; was != "" || key == [keystore.KeySize]byte{} {
				t.Errorf("service %d, label %s: the key of %q", service, label, was)
			}
			derived[key] = fmt.Sprint(service, label)
		}
	}
	if err := v.remove(1, "same"); err != nil {
		t.Fatal(err)
	}
	if _, err := v.get(1, "same"); !errors.Is(err, statefs.ErrNotFound) {
		t.Errorf("removed: %v", err)
	}
	if _, err := v.get(2, "same"); err != nil {
		t.Errorf("another's: %v", err)
	}
	writes := v.store.Info().Sequence
	if err := v.remove(1, "same"); err != nil || v.store.Info().Sequence != writes {
		t.Errorf("removing nothing: %v, and something is written", err)
	}
}

// One service has so many secrets and no more, and takes no room from another.
func TestRejectSecrets(t *testing.T) {
	v := mustOpen(t, blankDisk())
	value := make([]byte, keystore.MaxValue)
	for service := range uint64(20) {
		for i := range keystore.MaxSecrets {
			if err := v.put(service, fmt.Sprintf("%0*d", keystore.MaxName, i), value); err != nil {
				t.Fatalf("service %d, secret %d: %v", service, i, err)
			}
		}
		if err := v.put(service, "more", nil); err != errSecrets {
			t.Errorf("a secret too many: %v", err)
		}
		if err := v.put(service, fmt.Sprintf("%0*d", keystore.MaxName, 3), value); err != nil {
			t.Errorf("one in place of another: %v", err)
		}
	}
}

func TestRejectBackwards(t *testing.T) {
	v := mustOpen(t, blankDisk())
	if n, err := v.epoch(1); n != 0 || err != nil {
		t.Errorf("at first %d, %v", n, err)
	}
	if err := errors.Join(v.advance(1, 3), v.advance(1, 3), v.advance(1, 9)); err != nil {
		t.Error(err)
	}
	if err := v.advance(1, 8); err != errBackwards {
		t.Errorf("backwards: %v", err)
	}
	if n, _ := v.epoch(1); n != 9 {
		t.Errorf("epoch %d", n)
	}
}

// Whoever opens what somebody else wrote gets an error, never something else.
func FuzzOpenSealed(f *testing.F) {
	k := new(keys)
	k.use(make([]byte, rootBytes))
	f.Add(k.seal("n", []byte("text")))
	f.Add([]byte{sealVersion})
	f.Fuzz(func(t *testing.T, b []byte) {
		plain, err := k.open(nil, "n", b)
		if err == nil && string(plain) != "text" {
			t.Fatalf("%x opens as %q", b, plain)
		}
	})
}
