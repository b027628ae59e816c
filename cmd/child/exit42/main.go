//go:build tamago

// Exit42 says that it runs, and ends with a status that says otherwise.
package main

import "os"

func main() {
	println("child: exit42 start")
	os.Exit(42)
}
