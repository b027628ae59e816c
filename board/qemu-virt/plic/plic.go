// Package plic drives the platform-level interrupt controller of RISC-V boards
// for one hart in S-mode. It implements what the kernel wants of an interrupt
// controller, core.Controller.
//
// A source that was claimed is silent until it is complete: the controller's
// gateway sees to that. So the kernel masks an interrupt that its owner has not
// acknowledged without touching the enable bits. The controller ignores the
// completion of a source that is not enabled, which is why Complete comes before
// Disable.
//
// The registers are those of chapters 3 to 9 of the RISC-V Platform-Level
// Interrupt Controller Specification, version 1.0.
package plic

import "fmt"

// Registers reaches the registers of the controller by their offset in bytes.
// Both methods access them exactly once, with 32 bits, in program order.
type Registers interface {
	Load(offset uint32) uint32
	Store(offset, value uint32)
}

// Offsets of registers, in bytes.
const (
	priority      = 0         // one word for each source
	enable        = 0x2000    // a bit for each source, by context
	enableStride  = 0x80      // of a context
	context       = 0x20_0000 // threshold and claim, by context
	contextStride = 0x1000
	claim         = 4 // behind the threshold
)

// Limits of the specification.
const (
	maxSource  = 1023
	maxContext = 15871
)

// PLIC is the controller as one context sees it.
type PLIC struct {
	regs    Registers
	sources uint32
	enable  uint32 // offset of the enable bits
	claim   uint32 // offset of the claim register
}

// New returns the controller for the first of the contexts, with all sources
// disabled in all of them. The registers are size bytes long, sources is the
// highest source.
func New(r Registers, size uint64, sources uint32, contexts ...int) (*PLIC, error) {
	if sources < 1 || sources > maxSource || len(contexts) == 0 {
		return nil, fmt.Errorf("interrupt controller with %d sources and %d contexts", sources, len(contexts))
	}
	for _, ctx := range contexts {
		if ctx < 0 || ctx > maxContext || context+(uint64(ctx)+1)*contextStride > size {
			return nil, fmt.Errorf("interrupt controller of %#x bytes has no context %d", size, ctx)
		}
	}
	for _, ctx := range contexts {
		for i := uint32(0); i <= sources/32; i++ {
			r.Store(enable+uint32(ctx)*enableStride+4*i, 0)
		}
	}
	first := uint32(contexts[0])
	p := &PLIC{
		regs: r, sources: sources,
		enable: enable + first*enableStride,
		claim:  context + first*contextStride + claim,
	}
	for s := uint32(1); s <= sources; s++ {
		r.Store(priority+4*s, 1) // all alike, and above the threshold
	}
	r.Store(p.claim-claim, 0)
	return p, nil
}

// Enable lets interrupts of a source come in.
func (p *PLIC) Enable(source uint32) { p.set(source, 1) }

// Disable keeps interrupts of a source out.
func (p *PLIC) Disable(source uint32) { p.set(source, 0) }

func (p *PLIC) set(source, on uint32) {
	if source < 1 || source > p.sources {
		return
	}
	at := p.enable + source/32*4
	p.regs.Store(at, p.regs.Load(at)&^(1<<(source%32))|on<<(source%32))
}

// Claim takes the pending interrupt of the lowest enabled source and returns
// that source, 0 if there is none.
func (p *PLIC) Claim() uint32 { return p.regs.Load(p.claim) }

// Complete lets a claimed source interrupt again.
func (p *PLIC) Complete(source uint32) { p.regs.Store(p.claim, source) }
