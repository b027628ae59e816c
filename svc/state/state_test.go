package state

import (
	"bytes"
	"strings"
	"testing"

	"nexus.internal/ipc"
)

func TestRejectKeys(t *testing.T) {
	for _, key := range []string{"", "/", "/state", "/state/", "/state/a", "/state/a/", "/state//b", "/state/A/b", "/state/a/b/", "/state/a//b",
		"/state/a/.", "/state/a/../b", "/state/../b", "/state/a/b/..", "state/a/b", "/State/a/b", "/state/a/b\x00", "/state/a/\n", "/state/a/\x7f",
		"/state/" + strings.Repeat("n", MaxNamespace+1) + "/a", "/state/a/" + strings.Repeat("k", MaxKey-8)} {
		if namespace, name, ok := CutKey(key); ok {
			t.Errorf("%q is %q and %q", key, namespace, name)
		}
	}
	for _, key := range []string{"/state/a/b", "/state/selftest-client/a.b/c d", "/state/a/...", "/state/a/" + strings.Repeat("k", MaxKey-9)} {
		if _, _, ok := CutKey(key); !ok {
			t.Errorf("%q is none", key)
		}
	}
}

// FuzzKey: what is a key stays inside of its namespace, and has its prefixes.
func FuzzKey(f *testing.F) {
	f.Add("/state/a/b/c")
	f.Fuzz(func(t *testing.T, key string) {
		namespace, name, ok := CutKey(key)
		if !ok {
			return
		}
		if Root+namespace+"/"+name != key || strings.ContainsRune(namespace, '/') || len(key) > MaxKey {
			t.Fatalf("%q is %q and %q", key, namespace, name)
		}
		for i := len(Root); i <= len(key); i++ {
			n, _, whole, ok := CutPrefix(key[:i])
			if !ok || whole != (i > len(Root)+len(namespace)) || whole && n != namespace || !strings.HasPrefix(namespace, n) {
				t.Fatalf("prefix %q: namespace %q, %v, %v", key[:i], n, whole, ok)
			}
		}
	})
}

// FuzzTxn: what decodes encodes to the same bytes.
func FuzzTxn(f *testing.F) {
	var x Txn
	x.Put("/state/a/b", []byte("value"))
	x.Expect("/state/a/c", 7)
	x.Delete("/state/a/d")
	f.Add(x.b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var x Txn
		status := DecodeTxn(b, func(kind byte, key string, version uint64, value []byte) ipc.Status {
			switch kind {
			case KindPut:
				x.Put(key, value)
			case KindDelete:
				x.Delete(key)
			case KindExpect:
				x.Expect(key, version)
			}
			return ipc.StatusOK
		})
		if status == ipc.StatusOK && !bytes.Equal(x.b, b) {
			t.Fatalf("%x becomes %x", b, x.b)
		}
	})
}

// What clients store and compare stays what it is.
func TestStatusesStay(t *testing.T) {
	for i, s := range []ipc.Status{StatusFull, StatusQuota, StatusConflict, StatusInvalidKey, StatusTooLong, StatusLarge, StatusMissed,
		StatusCorrupt, StatusIntegrity, StatusDevice, StatusNoStore} {
		if s != ipc.Status(64+i) {
			t.Errorf("status %d is %d", 64+i, s)
		}
	}
}
