// Package imports holds the source tree to its architecture: which layer may
// import which, what of the outside world the code of the system may use, and
// where unsafe Go and assembly may stand.
//
// The rules are tables in rules.go; the package has no other content. Its tests
// read the source itself, whatever it is built for, so that code for the target
// cannot slip through on a machine that does not build it.
package imports

// Module is the path of this module, with the slash that ends it.
const Module = "nexus.internal/"
