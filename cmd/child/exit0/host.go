//go:build !tamago

// Exit0 says on its console that it runs, and then ends well.
package main

func main() { println("exit0: this program runs on Nexus only") }
