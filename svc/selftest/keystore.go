package selftest

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"nexus.internal/ipc"
	"nexus.internal/svc/blk"
	"nexus.internal/svc/keystore"
	"nexus.internal/svc/manifest"
	"nexus.internal/svc/mortal"
)

const keystoredName = "keystored"

// Proofs of keystored with a disk: first those of what it keeps, then those of the
// device's key, then that of a second boot, and what needs another service.
var (
	keyProofs = []proof{
		{"ipc routing keystored", func(ctx context.Context, t *tester) error { return routed(ctx, t.keystored) }},
		{"keystored v1", keystoredSecrets},
	}
	deviceKeyProofs = []proof{
		{"device key pubkey", devicePublicKey},
		{"device key private export rejected", deviceKeyStays},
	}
	lastingKeyProofs = []proof{
		{"device key persist", deviceKeyPersists},
		{"keystored capmove", keystoredMemory},
		{"keystored sign denied", keystoredSign},
	}
)

// forbidden is in every secret of these proofs. A line of the console with it fails the
// run (test/qemu/ladder.toml), a record of the journal the proof.
const forbidden = "never-to-be-printed"

// lasting is the secret that is left for the next boot.
const lasting = "lasting"

func (t *tester) keys() keystore.Client { return keystore.Client{To: t.keystored} }

// secretOf returns a secret of n bytes that no other call returns.
func secretOf(name string, n int) []byte {
	return append(make([]byte, 0, n), bytes.Repeat([]byte(forbidden+" "+name+" "), n)...)[:n]
}

// keystoredSecrets: what is put is what comes back, in every size, until it is replaced
// or removed; every limit has a status of its own; and nobody has read a secret in the
// journal.
func keystoredSecrets(ctx context.Context, t *tester) error {
	c := t.keys()
	for _, n := range []int{1, 31, 40, keystore.MaxValue, 0} {
		value := secretOf("size", n)
		if err := c.Put(ctx, "size", value); err != nil {
			return fmt.Errorf("put of %d bytes: %w", n, err)
		}
		got, err := c.Get(ctx, nil, "size")
		if err != nil || !bytes.Equal(got, value) {
			return fmt.Errorf("get of %d bytes: %d bytes, %w", n, len(got), err)
		}
	}
	if err := c.Delete(ctx, "size"); err != nil {
		return err
	}
	if _, err := c.Get(ctx, nil, "size"); !errors.Is(err, ipc.StatusNotFound) {
		return fmt.Errorf("get of what was removed: %w", err)
	}
	room := keystore.MaxSecrets
	if _, err := c.Get(ctx, nil, lasting); err == nil {
		room-- // of an earlier boot
	}
	for i := range room {
		if err := c.Put(ctx, fmt.Sprint("n", i), secretOf(fmt.Sprint("n", i), 40)); err != nil {
			return fmt.Errorf("secret %d of %d: %w", i+1, room, err)
		}
	}
	if err := c.Put(ctx, "more", nil); !errors.Is(err, ipc.StatusOverLimit) {
		return fmt.Errorf("a secret too many: %w", err)
	}
	for i := range room {
		name := fmt.Sprint("n", i)
		if got, err := c.Get(ctx, nil, name); err != nil || !bytes.Equal(got, secretOf(name, 40)) {
			return fmt.Errorf("secret %d: %w", i+1, err)
		}
		if err := c.Delete(ctx, name); err != nil {
			return err
		}
	}
	name := strings.Repeat("x", keystore.MaxName+1)
	for what, w := range map[string]struct {
		op      uint16
		payload []byte
		status  ipc.Status
	}{
		"a long name":         {keystore.OpGet, append([]byte{keystore.MaxName + 1}, name...), ipc.StatusOverLimit},
		"a long value":        {keystore.OpPut, append([]byte{1, 'x'}, make([]byte, keystore.MaxValue+1)...), ipc.StatusOverLimit},
		"no name":             {keystore.OpPut, []byte{0}, ipc.StatusInvalidArgs},
		"a slash in the name": {keystore.OpPut, []byte{2, '/', 'x'}, ipc.StatusInvalidArgs},
		"a name cut short":    {keystore.OpGet, []byte{2, 'x'}, ipc.StatusMalformed},
		"a name and more":     {keystore.OpGet, []byte{1, 'x', 'x'}, ipc.StatusMalformed},
		"another's key":       {keystore.OpDerive, []byte("\x07statefs"), ipc.StatusDenied},
		"no such label":       {keystore.OpDerive, []byte("\x05other"), ipc.StatusNotFound},
	} {
		if _, err := t.keystored.Call(ctx, w.op, w.payload, make([]byte, 512)); !errors.Is(err, w.status) {
			return fmt.Errorf("%s: %w, want %v", what, err, w.status)
		}
	}
	return t.unprinted(ctx)
}

// unprinted reports a record of the journal with a secret in it, as it is or in
// hexadecimal digits.
func (t *tester) unprinted(ctx context.Context) error {
	digits := hex.EncodeToString([]byte(forbidden))
	st, err := t.journal.Stats(ctx)
	if err != nil {
		return err
	}
	for after := uint64(0); after < st.Total; {
		p, err := t.journal.Query(ctx, after, 64, "")
		if err != nil {
			return err
		}
		for _, e := range p.Entries {
			all := e.Text + " " + e.Fields
			if strings.Contains(all, forbidden) || strings.Contains(all, digits) {
				return fmt.Errorf("record %d of the journal has a secret in it", e.ID)
			}
			after = e.ID
		}
		if len(p.Entries) == 0 {
			break
		}
	}
	return nil
}

// devicePublicKey: the device has a key, the same each time.
func devicePublicKey(ctx context.Context, t *tester) (err error) {
	if t.device, err = t.keys().PublicKey(ctx); err != nil {
		return err
	}
	again, err := t.keys().PublicKey(ctx)
	if err != nil || again != t.device || t.device == [keystore.PublicKeySize]byte{} {
		return fmt.Errorf("%x, then %x: %w", t.device, again, err)
	}
	return nil
}

// deviceKeyStays: nobody gets the private key, however the question is asked.
func deviceKeyStays(ctx context.Context, t *tester) error {
	resp := make([]byte, 512)
	for _, payload := range [][]byte{nil, {0}, t.device[:], make([]byte, 200)} {
		clear(resp)
		n, err := t.keystored.Call(ctx, keystore.OpExport, payload, resp)
		if !errors.Is(err, keystore.StatusExportDenied) || n != 0 || !bytes.Equal(resp, make([]byte, len(resp))) {
			return fmt.Errorf("export with %d bytes: %d bytes, %w", len(payload), n, err)
		}
	}
	return nil
}

// deviceKeyPersists: key, a secret and the epoch of the boot before are there after a reset
// of the machine. It leaves them for the next boot.
func deviceKeyPersists(ctx context.Context, t *tester) error {
	const at = blk.SectorSize // in the partition of this service, behind the mark
	c := t.keys()
	value := func(boot uint64) []byte { return secretOf(fmt.Sprint("boot ", boot), 64) }
	b := make([]byte, blk.SectorSize)
	if err := t.disk.ReadAt(ctx, b, at); err != nil {
		return err
	}
	result := errFirstBoot
	if before := b[:keystore.PublicKeySize]; !bytes.Equal(before, make([]byte, len(before))) {
		result = nil
		if !bytes.Equal(before, t.device[:]) {
			return fmt.Errorf("the key was %x and is %x", before, t.device)
		}
		if got, err := c.Get(ctx, nil, lasting); err != nil || !bytes.Equal(got, value(t.boots)) {
			return fmt.Errorf("the secret of boot %d: %w", t.boots, err)
		}
		if epoch, err := c.Epoch(ctx); err != nil || epoch != t.boots {
			return fmt.Errorf("epoch %d after boot %d: %w", epoch, t.boots, err)
		}
	}
	boot := t.boots + 1
	if err := errors.Join(c.Put(ctx, lasting, value(boot)), c.Advance(ctx, boot)); err != nil {
		return err
	}
	if err := c.Advance(ctx, boot-1); !errors.Is(err, keystore.StatusBackwards) {
		return fmt.Errorf("an epoch that shrinks: %w", err)
	}
	if epoch, err := c.Epoch(ctx); err != nil || epoch != boot {
		return fmt.Errorf("epoch %d, want %d: %w", epoch, boot, err)
	}
	copy(b, t.device[:])
	if err := errors.Join(t.disk.WriteAt(ctx, b, at), t.disk.Flush(ctx)); err != nil {
		return err
	}
	return result
}

// statement returns a signature that is valid: of RFC 8032, section 7.1, test 3.
func statement() *keystore.Statement {
	s := &keystore.Statement{Payload: []byte{0xaf, 0x82}}
	hex.Decode(s.Key[:], []byte("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"))
	hex.Decode(s.Signature[:], []byte("6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"+
		"18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"))
	return s
}

// keystoredMemory: a payload too long for a message goes along as memory, which keystored
// takes only sealed, and gives up when it has answered.
func keystoredMemory(ctx context.Context, t *tester) error {
	c, err := t.keystored.Client(ctx)
	if err != nil {
		return err
	}
	ask := func(s keystore.Statement, seal bool) (valid bool, err error) {
		v, err := t.env.Process.NewVMO(keystore.MaxMemory)
		if err != nil {
			return false, err
		}
		defer v.Close()
		if err := ipc.WriteVMO(v, 0, s.Payload); err != nil {
			return false, err
		}
		if seal {
			if err := ipc.Seal(v); err != nil {
				return false, err
			}
		}
		give, err := ipc.DeriveReadGrant(v)
		if err != nil {
			return false, err
		}
		s.Length, s.Payload = uint32(len(s.Payload)), nil
		valid, err = keystore.VerifyMemory(ctx, c, &s, give)
		if n, revoked := v.Revoke(); revoked != nil || n != 0 {
			err = errors.Join(err, fmt.Errorf("keystored has kept %d capabilities to the memory (%v)", n, revoked))
		}
		return valid, err
	}
	good := statement()
	if valid, err := ask(*good, true); err != nil || !valid {
		return fmt.Errorf("a valid signature: %v, %w", valid, err)
	}
	if _, err := ask(*good, false); !errors.Is(err, ipc.StatusInvalidArgs) {
		return fmt.Errorf("memory that can be written: %w", err)
	}
	long := *good
	long.Payload = make([]byte, keystore.MaxMemory)
	if valid, err := ask(long, true); err != nil || valid {
		return fmt.Errorf("another payload of 1 MiB: %v, %w", valid, err)
	}
	valid, err := t.keys().Verify(ctx, good)
	if err != nil || !valid {
		return fmt.Errorf("the same in a message: %v, %w", valid, err)
	}
	good.Payload[0] ^= 1
	if valid, err = t.keys().Verify(ctx, good); err != nil || valid {
		return fmt.Errorf("with one bit changed: %v, %w", valid, err)
	}
	return nil
}

// keystoredSign: this service may not have anything signed, another one may, and its
// signature is of the device, for that service and nobody else. Nor does that service
// see this one's secrets.
func keystoredSign(ctx context.Context, t *tester) (err error) {
	payload := []byte("what the device says")
	if _, err := t.keys().Sign(ctx, payload); !errors.Is(err, ipc.StatusDenied) {
		return fmt.Errorf("a service without crypto.sign: %w", err)
	}
	if _, err := t.env.Control.Start(ctx, mortal.Name, mortal.Serve); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.endMortal(ctx)) }()
	other := t.env.Dial(mortal.Name, mortal.Protocol)
	s := keystore.Statement{Key: t.device, Service: manifest.ServiceID(mortal.Name), Payload: payload}
	if n, err := other.Call(ctx, mortal.OpSign, payload, s.Signature[:]); err != nil || n != len(s.Signature) {
		return fmt.Errorf("a service with crypto.sign: %d bytes, %w", n, err)
	}
	for what, w := range map[string]struct {
		change func(*keystore.Statement)
		valid  bool
	}{
		"the signature":           {func(*keystore.Statement) {}, true},
		"for this service":        {func(s *keystore.Statement) { s.Service = t.self }, false},
		"for nobody":              {func(s *keystore.Statement) { s.Service = 0 }, false},
		"of another device":       {func(s *keystore.Statement) { s.Key = statement().Key }, false},
		"of another payload":      {func(s *keystore.Statement) { s.Payload = payload[1:] }, false},
		"with another last digit": {func(s *keystore.Statement) { s.Signature[63] ^= 1 }, false},
	} {
		changed := s
		w.change(&changed)
		if valid, err := t.keys().Verify(ctx, &changed); err != nil || valid != w.valid {
			return fmt.Errorf("%s: valid is %v: %w", what, valid, err)
		}
	}
	if err := t.keys().Put(ctx, mortal.Secret, secretOf("mine", 40)); err != nil {
		return err
	}
	if _, err := other.Call(ctx, mortal.OpSecret, nil, nil); !errors.Is(err, ipc.StatusNotFound) {
		return fmt.Errorf("another service's secret: %w", err)
	}
	if err := t.keys().Delete(ctx, mortal.Secret); err != nil {
		return err
	}
	return t.unprinted(ctx)
}
