//go:build !tamago

// Hello says that it runs. If it was given a capability, it calls that with its
// arguments and environment, and ends with the status in the answer.
package main

func main() { println("hello: this program runs on Nexus only") }
