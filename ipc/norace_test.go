//go:build !race && !tamago

package ipc_test

const raceEnabled = false
