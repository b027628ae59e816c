package selftest

var attackProofs []proof
