package main

import (
	"strings"
	"testing"
)

func TestConstraintEdits(t *testing.T) {
	tests := []struct {
		name string
		edit func([]byte) ([]byte, error)
		src  string
		want string // empty: an error that contains err
		err  string
	}{
		{"include", includeFile, "// c\n\n//go:build unix\n\npackage p\n", "// c\n\n//go:build unix || tamago\n\npackage p\n", ""},
		{"include after and", includeFile, "//go:build js && wasm\n\npackage p\n", "//go:build (js && wasm) || tamago\n\npackage p\n", ""},
		{"include without line", includeFile, "package p\n", "", "no //go:build line"},
		{"include twice", includeFile, "//go:build unix || tamago\n\npackage p\n", "", "already mentions"},
		{"include negated", includeFile, "//go:build !tamago\n\npackage p\n", "", "already mentions"},
		{"exclude", excludeFile, "//go:build !plan9\n\npackage p\n", "//go:build !plan9 && !tamago\n\npackage p\n", ""},
		{"exclude after or", excludeFile, "//go:build a || b\n\npackage p\n", "//go:build (a || b) && !tamago\n\npackage p\n", ""},
		{"exclude without line", excludeFile, "// c\n\npackage p\n", "//go:build !tamago\n\n// c\n\npackage p\n", ""},
		{"exclude twice", excludeFile, "//go:build a && !tamago\n\npackage p\n", "", "already mentions"},
		{"own", ownFile, "//go:build js\n\npackage p\n", "//go:build tamago\n\npackage p\n", ""},
		{"own without line", ownFile, "package p\n", "//go:build tamago\n\npackage p\n", ""},
		{"line in text is not one", includeFile, "package p\n\n//go:build unix\n", "", "no //go:build line"},
		{"block comment first", includeFile, "/* c\n*/\n//go:build unix\n\npackage p\n", "/* c\n*/\n//go:build unix || tamago\n\npackage p\n", ""},
		{"unterminated comment", includeFile, "/* c", "", "unterminated"},
		{"bad expression", includeFile, "//go:build a &&\npackage p\n", "", "unexpected end"},
		{"last line without newline", includeFile, "//go:build unix", "//go:build unix || tamago", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.edit([]byte(tt.src))
			if tt.want == "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want one with %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func FuzzConstraint(f *testing.F) {
	f.Add([]byte("// c\n\n//go:build a || b\n\npackage p\n"))
	f.Add([]byte("/* */ //go:build a\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		out, err := excludeFile(src)
		if err != nil {
			return
		}
		expr, _, _, err := findConstraint(out)
		if err != nil || expr == nil || !mentions(expr, tag) {
			t.Errorf("%q became %q, whose constraint is %v (%v)", src, out, expr, err)
		}
	})
}
