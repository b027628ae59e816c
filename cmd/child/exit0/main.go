//go:build tamago

// Exit0 says that it runs, and ends well.
package main

func main() { println("child: exit0 start") }
