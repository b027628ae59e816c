package ipc

import (
	"strconv"

	"nexus.internal/ipc/abi"
)

// Sizes of frames in bytes.
const (
	HeaderSize       = 16
	MaxPayload       = abi.MaxMessage - HeaderSize
	MaxInlinePayload = abi.MaxInline - HeaderSize // travels in registers
)

// Protocol names the language of an endpoint. Frames of another one are refused
// with [StatusUnsupported] by servers and with [ErrProtocol] by clients.
type Protocol struct {
	Magic   [2]byte // in order of the wire, "LO" for logd
	Version uint8
}

const (
	kindRequest = 0
	kindReply   = 1
)

// word returns the constant part of the first header word.
func (p Protocol) word(kind uint64) uint64 {
	return uint64(p.Magic[0]) | uint64(p.Magic[1])<<8 | uint64(p.Version)<<16 | kind<<24
}

// protocolMask covers the bytes of the first header word that [Protocol.word] sets.
const protocolMask = 1<<32 - 1

// header builds the two header words.
func header(proto uint64, op uint16, status Status, nonce uint32, payload int) (uint64, uint64) {
	return proto | uint64(op)<<32 | uint64(status)<<48, uint64(nonce) | uint64(payload)<<32
}

// AppendFrame appends a whole request frame to b. Clients need it only to build
// frames that are wrong on purpose; [Call.Raw] sends them.
func AppendFrame(b []byte, p Protocol, op uint16, nonce uint32, payload []byte) []byte {
	w0, w1 := header(p.word(kindRequest), op, 0, nonce, len(payload))
	for i := 0; i < 64; i += 8 {
		b = append(b, byte(w0>>i))
	}
	for i := 0; i < 64; i += 8 {
		b = append(b, byte(w1>>i))
	}
	return append(b, payload...)
}

// Status is what a server says about a request in its reply. Every service uses
// the same numbers; those from [StatusService] on belong to the protocol. A
// Status other than [StatusOK] is an error at the client, so that it is compared
// with errors.Is. All are below 256, which makes the conversion free.
type Status uint16

// The statuses that all services share.
const (
	StatusOK          Status = 0
	StatusMalformed   Status = 1  // the frame or its payload does not decode
	StatusUnsupported Status = 2  // no such protocol version or operation
	StatusTooLarge    Status = 3  // the reply would not fit into the caller's buffer
	StatusInvalidArgs Status = 4  // decodes, but says something that is not allowed
	StatusOverLimit   Status = 5  // a limit of size or number
	StatusRateLimited Status = 6  // too often; later is fine
	StatusDenied      Status = 7  // the sender may not
	StatusNotFound    Status = 8  // no such thing
	StatusUnavailable Status = 9  // exists, but cannot be had now
	StatusInternal    Status = 10 // the service broke its own rules
	StatusService     Status = 64 // first number that a protocol defines itself
)

var statusNames = [...]string{"ok", "malformed", "unsupported", "too large", "invalid arguments", "over limit",
	"rate limited", "denied", "not found", "unavailable", "internal"}

// Error implements error.
func (s Status) Error() string { return "ipc: status " + s.String() }

// String returns the name of a shared status, or its number.
func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return strconv.Itoa(int(s))
}

// Err returns nil for [StatusOK] and s otherwise.
func (s Status) Err() error {
	if s == StatusOK {
		return nil
	}
	return s
}
