//go:build !tamago

// Random says what crypto/rand gives it, and has a child say the same.
package main

func main() { println("random: this program runs on Nexus only") }
