//go:build !tamago

// Exit42 says that it runs, and ends with a status that says otherwise.
package main

func main() { println("exit42: this program runs on Nexus only") }
