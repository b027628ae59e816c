//go:build tamago

// Hello says that it runs. If it was given a capability, it calls that with its
// arguments and environment, and ends with the status in the answer.
package main

import (
	"context"
	"os"
	"strings"

	"nexus.internal/ipc"
	"nexus.internal/svc/child"
)

func main() {
	println("child: hello-elf")
	p := ipc.Self()
	ep, err := p.BootCap(0).Send()
	if err != nil {
		return // the console, or nothing
	}
	var resp [1]byte
	text := strings.Join(os.Args, " ") + "|" + strings.Join(os.Environ(), " ")
	n, err := ipc.NewClient(ep, child.Protocol).Call(context.Background(), child.OpHello, []byte(text), resp[:])
	if err != nil || n != 1 {
		os.Exit(child.Unanswered)
	}
	os.Exit(int(resp[0]))
}
