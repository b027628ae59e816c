// Package keystore is what keystored and those who use it have in common: the protocol,
// and a client. The keys are kept in package keystored.
//
// The device has an identity, an Ed25519 key that nobody gets: keystored signs with it for
// whom policyd lets, and the signature says for whom. A service has secrets of its own
// there, keys that are derived for it, and a number that only grows. What belongs to a
// service is bound to the id that the kernel gives it; nobody names another's.
package keystore

import (
	"encoding/binary"
	"fmt"
	"strings"

	"nexus.internal/ipc"
	"nexus.internal/svc/wire"
)

// Protocol is the language of keystored.
var Protocol = ipc.Protocol{Magic: [2]byte{'K', 'S'}, Version: 2}

// Operations. The numbers of the first three, of OpVerify, and of those of the device are
// those of the described system.
const (
	OpPut       = 1  // name str8, value → : keeps a secret of the caller, in place of the one of that name
	OpGet       = 2  // name str8 → value
	OpDelete    = 3  // name str8 → : removes it, if it is there
	OpVerify    = 4  // Statement → valid u8
	OpPublicKey = 11 // → key [32]: of the device
	OpSign      = 12 // payload → signature [64], of the device for the caller
	OpExport    = 13 // → never anything: the private key of the device stays
	OpDerive    = 15 // label str8 → key [32], of the caller and the label
	OpEpoch     = 16 // → epoch u64 of the caller, 0 at first
	OpAdvance   = 17 // epoch u64 → : it is never less from now on
)

// Statuses of this protocol, beside those of all.
const (
	StatusExportDenied = ipc.StatusService + iota // the private key does not leave keystored
	StatusNoKeys                                  // there are no keys, or none that can be read: nothing is done without
	StatusDamaged                                 // what is kept is not what was put there
	StatusFull                                    // there is no room for it
	StatusBackwards                               // an epoch only grows
)

// Limits.
const (
	MaxName    = 64      // bytes of a secret's name
	MaxValue   = 256     // bytes of a secret
	MaxSecrets = 16      // of one service
	MaxLabel   = 32      // bytes of a label
	MaxMemory  = 1 << 20 // bytes of a payload that goes along as sealed memory

	PublicKeySize = 32
	SignatureSize = 64
	KeySize       = 32
)

// Capabilities that policyd must allow.
const (
	Secrets   = "keystore.secrets"   // have secrets
	Epoch     = "keystore.epoch"     // have an epoch
	Sign      = "crypto.sign"        // have the device sign
	Verify    = "crypto.verify"      // have signatures verified
	PublicKey = "device.pubkey.read" // know the key of the device
	Derive    = "crypto.derive."     // prefix: have a key derived for the label that follows
)

// Labels are those that keys are derived for.
var Labels = []string{LabelState}

// LabelState is that of what protects the state of the system.
const LabelState = "statefs"

// Context is what a signature of the device for a service is made with, as the context of
// Ed25519ctx (RFC 8032): so a service cannot have anything signed that another has said.
func Context(service uint64) string { return fmt.Sprintf("nexus device for %016x", service) }

// ValidName reports whether a secret may have this name: bytes that can be printed, but
// no space and no slash.
func ValidName(name string) bool {
	return name != "" && len(name) <= MaxName && strings.IndexFunc(name, func(c rune) bool { return c <= ' ' || c > '~' || c == '/' }) < 0
}

// Statement is a signature, and what is said to be signed: the payload, or the first
// Length bytes of the sealed memory that moves with the request.
type Statement struct {
	Key       [PublicKeySize]byte
	Signature [SignatureSize]byte
	Service   uint64 // for which a device signed; 0: plain Ed25519, without a context
	Length    uint32 // of the payload in memory; 0: it is in the message
	Payload   []byte
}

// Append appends the payload of the request.
func (s *Statement) Append(b []byte) []byte {
	b = append(append(b, s.Key[:]...), s.Signature[:]...)
	b = wire.AppendU32(wire.AppendU64(b, s.Service), s.Length)
	return append(b, s.Payload...)
}

// statementBytes is how long a Statement is without its payload.
const statementBytes = PublicKeySize + SignatureSize + 8 + 4

// MaxPayload is the longest payload of a Statement that goes into a message.
const MaxPayload = ipc.MaxPayload - statementBytes

// Decode reads a payload and reports whether it is a Statement. The payload in it is part
// of b.
func (s *Statement) Decode(b []byte) bool {
	if len(b) < statementBytes {
		return false
	}
	at := copy(s.Key[:], b)
	at += copy(s.Signature[:], b[at:])
	s.Service = binary.LittleEndian.Uint64(b[at:])
	s.Length = binary.LittleEndian.Uint32(b[at+8:])
	s.Payload = b[statementBytes:]
	return s.Length == 0 || len(s.Payload) == 0
}
