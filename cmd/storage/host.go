//go:build !tamago

// Storage is the binary of the services of storage. It runs only on the target.
package main

func main() { println("storage: this program runs on Nexus only") }
