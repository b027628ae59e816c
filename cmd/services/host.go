//go:build !tamago

// Services is the one program of all services. It runs only on the target.
package main

func main() { println("services: this program runs on Nexus only") }
