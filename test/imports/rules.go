package imports

// A Layer is a part of the tree, and what its packages may import.
type Layer struct {
	// Path is where its packages are: a folder, or what begins with it. The longest
	// Path that fits a package is its layer.
	Path string
	// Inside lists what it may import of this module, beside itself.
	Inside []string
	// Std lists the standard packages that it may import; nil: all but Banned.
	Std []string
	// Outside lists the packages of other modules that it may import.
	Outside []string
	// Host says that its packages run on the machine that builds Nexus.
	Host bool
}

// Layers is the architecture: cmd → board → kernel → ipc/abi, and
// cmd → svc → ipc. No package is outside of every layer.
var Layers = []Layer{
	{Path: "ipc/abi", Std: []string{}},
	{Path: "ipc", Std: []string{"context", "errors", "fmt", "io", "runtime", "strconv", "sync", "sync/atomic", "time", "unsafe"}},

	// The kernel uses of the standard library what neither waits nor needs an
	// operating system; most of it runs only at boot.
	{Path: "kernel", Inside: []string{"ipc/abi"}, Std: []string{
		"bytes", "crypto/sha512", "encoding/binary", "errors", "fmt", "hash/crc32", "math", "math/bits",
		"runtime", "runtime/debug", "slices", "strconv", "strings", "sync/atomic", "unsafe"}},
	{Path: "board", Inside: []string{"kernel", "ipc/abi"}, Std: []string{
		"bytes", "cmp", "encoding/binary", "errors", "fmt", "math/rand/v2", "runtime", "slices", "strings", "sync/atomic", "unsafe"},
		Outside: []string{"github.com/u-root/u-root/pkg/dt", "github.com/usbarmory/tamago"}},
	{Path: "board/qemu-virt/internal/probe", Inside: []string{"board", "kernel", "ipc/abi"}},
	{Path: "cmd/kernel", Inside: []string{"board", "kernel", "ipc/abi"}, Std: []string{"slices"}},

	{Path: "svc", Inside: []string{"ipc"}, Outside: []string{"github.com/fxamacker/cbor/v2"}},
	{Path: "cmd/services", Inside: []string{"svc", "ipc"}},
	{Path: "cmd/storage", Inside: []string{"svc", "ipc"}},
	{Path: "svc/blkd", Inside: []string{"svc", "ipc"}, Outside: []string{"github.com/u-root/u-root/pkg/mount/gpt"}},
	{Path: "cmd/child", Inside: []string{"svc/child", "ipc"}},
	{Path: "cmd/child/random", Inside: []string{"svc", "ipc"}},
	{Path: "svc/rngd", Inside: []string{"svc", "ipc"}, // nothing that makes secrets: it starts before there is entropy
		Std: []string{"context", "crypto/sha256", "errors", "fmt", "hash", "sync", "time"}},
	// The engine of durable state does no IPC: its device is an interface.
	{Path: "svc/keystored", Inside: []string{"svc", "ipc"}, Outside: []string{"golang.org/x/crypto"}},
	{Path: "svc/statefs", Inside: []string{"svc/statefs"}, Outside: []string{"golang.org/x/crypto"}},

	// Helpers of tests, beside what they help to test.
	{Path: "ipc/ipctest", Inside: []string{"ipc"}, Host: true},
	{Path: "kernel/mem/memtest", Inside: []string{"kernel"}, Host: true},
	{Path: "kernel/elf/elftest", Inside: []string{"kernel", "ipc/abi"}, Host: true},
	{Path: "svc/statefs/disksim", Host: true},
	{Path: "svc/svctest", Inside: []string{"svc", "ipc"}, Outside: []string{"github.com/fxamacker/cbor/v2"}, Host: true},

	// Commands of the build and the tests.
	{Path: "cmd", Inside: []string{"cmd", "board", "kernel", "ipc", "svc", "test/qemu", "test/nbd", "test/powercut"},
		Outside: []string{"github.com/BurntSushi/toml", "github.com/alecthomas/kong", "github.com/fxamacker/cbor/v2", "github.com/u-root/u-root/pkg/mount/gpt", "github.com/usbarmory/tamago"}, Host: true},
	{Path: "test", Inside: []string{"cmd", "kernel", "ipc", "svc", "test"},
		Outside: []string{"github.com/BurntSushi/toml"}, Host: true},
}

// Banned lists standard packages that no code of the system may reach, not even
// through others: they need an operating system that is not there, or bring
// authority that only capabilities may bring.
var Banned = []string{
	"net", "net/http", "os/exec", "os/user", "os/signal", "plugin", "log/syslog", "expvar", "runtime/cgo", "crypto/tls", "testing",
}

// OutsideDeps lists the modules that the programs of the system may link.
var OutsideDeps = []string{
	"github.com/fxamacker/cbor/v2",
	"github.com/x448/float16",
	"github.com/u-root/u-root",
	"github.com/u-root/uio",
	"github.com/usbarmory/tamago",
	"github.com/pierrec/lz4/v4",
	"golang.org/x/crypto",
	"golang.org/x/exp",
	"golang.org/x/sys",
}

// Costly lists standard packages and modules that the services binary must not link: all
// but a few processes are of it, and each would run their initialisation when it starts.
var Costly = []string{"crypto", "golang.org/x/crypto"}

// Unsafe lists the packages that may import unsafe or use go:linkname, always in
// files with "_unsafe" in their name, or hold assembly.
var Unsafe = []string{
	"board/qemu-virt",                // boot and device registers
	"board/qemu-virt/internal/probe", // the same, for a probe of the board
	"board/qemu-virt/sbi",            // the ECALL of firmware calls
	"ipc",                            // seam to the runtime, views of mapped memory
	"kernel",                         // the runtime's system stack
	"kernel/core",                    // layout of what is copied to processes
	"kernel/hart",                    // trap path and CSRs
	"kernel/mem",                     // physical memory as bytes
	"kernel/mem/memtest",             // physical memory on the host
	"svc/bench",                      // system calls without the library
	"svc/hostile",                    // attacks
	"svc/kselftest",                  // system calls without the library, faults
	"svc/raw",                        // system calls without the library
	"svc/soak",                       // threads without the runtime
}
