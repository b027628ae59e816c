package statefs_test

import (
	"testing"
)

func BenchmarkPut(b *testing.B) {
	s, _ := fresh(b, 16<<20)
	v := make([]byte, 256)
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Put("bench-disk/value", v); err != nil {
			b.Fatal(err)
		}
	}
}
