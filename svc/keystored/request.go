package keystored

import (
	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/keystore"
	"nexus.internal/svc/wire"
)

// operation is a request that has been decoded.
type operation struct {
	capability string                         // that it takes
	do         func(v *vault) ([]byte, error) // returns the reply, which is wiped
}

// request is what came in.
type request struct {
	code    uint16
	sender  uint64 // service id
	payload []byte
	take    func() ipc.Any // takes the capability that came along
	process ipc.Process    // this one
}

// decode reads a request, for which the status says what is wrong with it.
func (r *request) decode() (op operation, status ipc.Status) {
	who, d := r.sender, wire.Read(r.payload)
	switch r.code {
	case keystore.OpPut, keystore.OpGet, keystore.OpDelete:
		return r.secret(&d)
	case keystore.OpVerify:
		return r.statement()
	case keystore.OpSign:
		payload := d.Rest()
		op = operation{keystore.Sign, func(v *vault) ([]byte, error) { return v.sign(who, payload) }}
	case keystore.OpPublicKey:
		op = operation{keystore.PublicKey, func(v *vault) ([]byte, error) { return append([]byte(nil), v.public...), nil }}
	case keystore.OpExport: // whoever asks, and however
		return op, keystore.StatusExportDenied
	case keystore.OpDerive:
		label := string(d.String8())
		op = operation{keystore.Derive + label, func(v *vault) ([]byte, error) {
			key := make([]byte, keystore.KeySize)
			v.keys.derive(key, who, label)
			return key, nil
		}}
	case keystore.OpEpoch:
		op = operation{keystore.Epoch, func(v *vault) ([]byte, error) {
			n, err := v.epoch(who)
			return wire.AppendU64(nil, n), err
		}}
	case keystore.OpAdvance:
		to := d.U64()
		op = operation{keystore.Epoch, func(v *vault) ([]byte, error) { return nil, v.advance(who, to) }}
	default:
		return op, ipc.StatusUnsupported
	}
	if !d.Done() {
		return op, ipc.StatusMalformed
	}
	return op, ipc.StatusOK
}

// secret reads an operation on a secret.
func (r *request) secret(d *wire.Reader) (op operation, status ipc.Status) {
	who, name, value := r.sender, string(d.String8()), d.Rest()
	switch {
	case !d.Done(), r.code != keystore.OpPut && len(value) != 0:
		return op, ipc.StatusMalformed
	case len(name) > keystore.MaxName, len(value) > keystore.MaxValue:
		return op, ipc.StatusOverLimit
	case !keystore.ValidName(name):
		return op, ipc.StatusInvalidArgs
	}
	op.capability = keystore.Secrets
	switch r.code {
	case keystore.OpPut:
		op.do = func(v *vault) ([]byte, error) { return nil, v.put(who, name, value) }
	case keystore.OpGet:
		op.do = func(v *vault) ([]byte, error) { return v.get(who, name) }
	case keystore.OpDelete:
		op.do = func(v *vault) ([]byte, error) { return nil, v.remove(who, name) }
	}
	return op, ipc.StatusOK
}

// statement reads a statement to be verified.
func (r *request) statement() (op operation, status ipc.Status) {
	s := new(keystore.Statement)
	if !s.Decode(r.payload) {
		return op, ipc.StatusMalformed
	}
	if s.Length > keystore.MaxMemory {
		return op, ipc.StatusOverLimit
	}
	return operation{keystore.Verify, func(*vault) ([]byte, error) {
		if s.Length == 0 {
			return truth(verify(s, s.Payload)), nil
		}
		return r.verify(s)
	}}, ipc.StatusOK
}

// verify verifies what is in memory that came along, and gives that up. It must be
// sealed, so that what is verified stays what it is.
func (r *request) verify(s *keystore.Statement) ([]byte, error) {
	memory, err := r.take().Memory()
	if err != nil {
		return nil, ipc.StatusInvalidArgs // none, or another thing, which is closed
	}
	defer memory.Close()
	info, err := memory.Info()
	if err != nil || !info.Sealed || info.Size < uint64(s.Length) {
		return nil, ipc.StatusInvalidArgs
	}
	b, err := ipc.Map(memory, 0, (uint64(s.Length)+abi.PageSize-1)&^(abi.PageSize-1))
	if err != nil {
		return nil, err
	}
	valid := verify(s, b[:s.Length])
	return truth(valid), r.process.Unmap(b)
}

func truth(b bool) []byte {
	if b {
		return []byte{1}
	}
	return []byte{0}
}
