//go:build !tamago

// Crash ends by an exception, a store to address 0, that nobody handles.
package main

func main() { println("crash: this program runs on Nexus only") }
