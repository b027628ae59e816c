package initd

import (
	"slices"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/manifest"
	"nexus.internal/svc/policy"
	"nexus.internal/svc/wire"
)

// opFile gives an entry of the archive to a service that the manifest names for it.
// Nobody can write it, and who is no spawner cannot execute it either.
func (s *supervisor) opFile(q *ipc.Request, from *child) {
	d := wire.Read(q.Payload())
	name := string(d.String8())
	if !d.Done() {
		q.Reply(ipc.StatusMalformed, nil)
		return
	}
	i := slices.Index(s.files, name)
	if i < 0 || !from.service.MayHave(name) { // which there are is not told either
		q.Reply(ipc.StatusDenied, nil)
		return
	}
	entry := s.env.Process.BootCap(s.capFiles + i)
	info, err := entry.Info()
	if err == nil {
		rights := abi.RightRead | abi.RightGrant
		if from.service.Spawner {
			rights |= info.Rights & abi.RightExec
		}
		entry, err = ipc.DeriveAny(entry, rights)
	}
	if err != nil {
		s.env.Log.Error("file", "name", name, "err", err)
		q.Reply(ipc.StatusInternal, nil)
		return
	}
	q.ReplyCap(ipc.StatusOK, nil, entry.Move())
}

// opSpawner gives the right to create processes to a service that manifest and
// policyd allow it, and tells it which identities are taken.
func (s *supervisor) opSpawner(q *ipc.Request, from *child) {
	if len(q.Payload()) != 0 {
		q.Reply(ipc.StatusMalformed, nil)
		return
	}
	if !from.service.Spawner {
		s.refuse(from, "manifest", policy.Create, from.service.Name)
		q.Reply(ipc.StatusDenied, nil)
		return
	}
	if !s.policyReady() {
		q.Reply(ipc.StatusUnavailable, nil)
		return
	}
	if !s.allowed(q, from, policy.Create, from.service.Name) {
		return
	}
	right, err := ipc.DeriveAny(s.env.Process.BootCap(capSpawn), abi.RightManage|abi.RightGrant)
	if err != nil {
		s.env.Log.Error("spawner", "svc", from.service.Name, "err", err)
		q.Reply(ipc.StatusInternal, nil)
		return
	}
	ids := wire.AppendU64(q.Large(), manifest.ServiceID(s.env.Name))
	for _, c := range s.children {
		ids = wire.AppendU64(ids, c.id)
	}
	q.ReplyCap(ipc.StatusOK, ids, right.Move())
}
