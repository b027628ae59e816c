//go:build tamago

// The entropy source of the FIPS module needs 32 MiB of zero-filled memory in
// every program that links crypto/rand. Nexus does not offer FIPS 140-3 mode.

package drbg

func getEntropy() *[SeedSize]byte {
	panic("crypto: FIPS 140-3 entropy is not supported on tamago")
}
