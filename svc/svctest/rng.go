//go:build !tamago

package svctest

import (
	"bytes"
	"context"
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc"
	"nexus.internal/svc/manifest"
	"nexus.internal/svc/rng"
)

const rngdName = "rngd"

// mark is what the n-th answer of the rngd of a test begins with; n follows.
const mark = "of the rngd of the test "

// Entropy reports whether b was given out by the rngd of a test, and as which answer.
func Entropy(b []byte) (n uint64, ok bool) {
	rest, ok := bytes.CutPrefix(b, []byte(mark))
	if !ok || len(rest) < 8 {
		return 0, false
	}
	return binary.LittleEndian.Uint64(rest), true
}

// withRNG returns a system with an rngd.
func withRNG(m *manifest.Manifest, table svc.Table) (*manifest.Manifest, svc.Table) {
	with := *m
	with.Services = slices.Insert(slices.Clone(m.Services), 0, manifest.Service{Name: rngdName, Program: rngdName, Frames: manifest.MinFrames, Ready: 5 * time.Second})
	programs := maps.Clone(table)
	programs[rngdName] = fakeRNG
	return &with, programs
}

// fakeRNG gives everybody what they ask for.
func fakeRNG(ctx context.Context, env *svc.Env) error {
	ep, err := env.Process.NewEndpoint(32, abi.MaxInline)
	if err != nil {
		return err
	}
	n := uint64(0)
	return env.Serve(ctx, ipc.NewServer(ep, rng.Protocol, 1, func(q *ipc.Request) {
		n++
		b := make([]byte, rng.MaxBytes)
		binary.LittleEndian.PutUint64(b[copy(b, mark):], n)
		q.Reply(ipc.StatusOK, b[:min(binary.LittleEndian.Uint16(q.Payload()), rng.MaxBytes)])
	}), ep)
}
