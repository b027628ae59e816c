package control

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := Exit{rapid.Int().Draw(t, "s"), rapid.Uint64().Draw(t, "c"), rapid.Uint64().Draw(t, "p"), rapid.Uint64().Draw(t, "a"), rapid.Uint32().Draw(t, "r")}
		var got Exit
		if !got.Decode(e.Append(nil)) || got != e {
			t.Fatalf("%+v became %+v", e, got)
		}
		u := Usage{Free: rapid.Uint64().Draw(t, "f"), Calls: 3}
		for range rapid.IntRange(0, MaxServices).Draw(t, "n") {
			u.Services = append(u.Services, ServiceUsage{rapid.StringMatching(`[a-z]{1,32}`).Draw(t, "name"), 1, 2, 3, 4})
		}
		var v Usage
		if !v.Decode(u.Append(nil)) || !reflect.DeepEqual(u, v) {
			t.Fatalf("%+v became %+v", u, v)
		}
	})
}

func TestRejectUsage(t *testing.T) {
	u := Usage{Services: make([]ServiceUsage, MaxServices+1)}
	var got Usage
	if got.Decode(u.Append(nil)) {
		t.Error("accepted too many services")
	}
	u.Services = u.Services[:1]
	if b := u.Append(nil); got.Decode(b[:len(b)-1]) || got.Decode(append(b, 0)) {
		t.Error("accepted what is too short or too long")
	}
}

func FuzzUsage(f *testing.F) {
	f.Add((&Usage{Services: []ServiceUsage{{Name: "a"}}}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var u Usage
		if u.Decode(b) && string(u.Append(nil)) != string(b) {
			t.Fatalf("%x encodes otherwise", b)
		}
	})
}
