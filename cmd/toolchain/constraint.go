package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/build/constraint"
)

// tag is the build tag that the patch set is about.
const tag = "tamago"

// includeFile returns src with "|| tamago" appended to its build constraint.
// A file without one is refused: it is compiled already, or kept out by its name,
// which no constraint can change.
func includeFile(src []byte) ([]byte, error) {
	expr, start, end, err := findConstraint(src)
	if err != nil {
		return nil, err
	}
	if expr == nil {
		return nil, errors.New("+tamago: the file has no //go:build line (use copies.txt if its name excludes it)")
	}
	if mentions(expr, tag) {
		return nil, fmt.Errorf("+tamago: its constraint already mentions it: %s", expr)
	}
	return replaceLine(src, start, end, &constraint.OrExpr{X: expr, Y: &constraint.TagExpr{Tag: tag}}), nil
}

// excludeFile returns src with "&& !tamago" appended to its build constraint, or
// with the constraint "!tamago" if it has none.
func excludeFile(src []byte) ([]byte, error) {
	expr, start, end, err := findConstraint(src)
	if err != nil {
		return nil, err
	}
	not := &constraint.NotExpr{X: &constraint.TagExpr{Tag: tag}}
	if expr == nil {
		return append([]byte("//go:build "+not.String()+"\n\n"), src...), nil
	}
	if mentions(expr, tag) {
		return nil, fmt.Errorf("-tamago: its constraint already mentions it: %s", expr)
	}
	return replaceLine(src, start, end, &constraint.AndExpr{X: expr, Y: not}), nil
}

// ownFile returns src with its build constraint replaced by "tamago".
func ownFile(src []byte) ([]byte, error) {
	expr, start, end, err := findConstraint(src)
	if err != nil {
		return nil, err
	}
	own := &constraint.TagExpr{Tag: tag}
	if expr == nil {
		return append([]byte("//go:build "+own.String()+"\n\n"), src...), nil
	}
	return replaceLine(src, start, end, own), nil
}

// findConstraint returns the //go:build expression of a Go or assembly file and
// where its line starts and ends, without the newline. The expression is nil if
// the file has none. Only comments and blank lines may precede it.
func findConstraint(src []byte) (expr constraint.Expr, start, end int, err error) {
	for pos := 0; pos < len(src); {
		line := src[pos:]
		if i := bytes.IndexByte(line, '\n'); i >= 0 {
			line = line[:i]
		}
		text := bytes.TrimSpace(line)
		switch {
		case constraint.IsGoBuild(string(text)):
			expr, err = constraint.Parse(string(text))
			return expr, pos, pos + len(line), err
		case bytes.HasPrefix(text, []byte("/*")):
			i := bytes.Index(src[pos:], []byte("*/"))
			if i < 0 {
				return nil, 0, 0, errors.New("unterminated comment")
			}
			pos += i + len("*/")
			continue
		case len(text) > 0 && !bytes.HasPrefix(text, []byte("//")):
			return nil, 0, 0, nil
		}
		pos += len(line) + 1
	}
	return nil, 0, 0, nil
}

// mentions reports whether expr contains the tag name.
func mentions(expr constraint.Expr, name string) bool {
	switch x := expr.(type) {
	case *constraint.TagExpr:
		return x.Tag == name
	case *constraint.NotExpr:
		return mentions(x.X, name)
	case *constraint.AndExpr:
		return mentions(x.X, name) || mentions(x.Y, name)
	case *constraint.OrExpr:
		return mentions(x.X, name) || mentions(x.Y, name)
	}
	return false
}

func replaceLine(src []byte, start, end int, expr constraint.Expr) []byte {
	out := make([]byte, 0, len(src)+32)
	out = append(out, src[:start]...)
	out = append(out, "//go:build "+expr.String()...)
	return append(out, src[end:]...)
}
