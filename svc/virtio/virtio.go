// Package virtio drives the common part of virtio devices behind memory-mapped
// registers: what a device is, its reset and feature negotiation, and its queues
// ([Queue]). What goes through the queues is the business of each driver.
//
// It is the transport of the Virtual I/O Device specification, version 1.2,
// section 4.2 (modern devices only) with split virtqueues, section 2.7.
//
// Nothing that a device says is trusted: whatever it writes into registers or
// memory, a driver reads and writes only its own buffers. What the device itself
// reads and writes nobody can bound on a machine without an IOMMU; see the
// documentation of dma_create.
package virtio

import (
	"errors"
	"fmt"
)

// Registers reaches the registers of a device; ipc.Registers does.
type Registers interface {
	Load32(off uint32) uint32
	Store32(off, value uint32)
}

// Registers by their offset.
const (
	regMagic          = 0x000
	regVersion        = 0x004
	regDeviceID       = 0x008
	regFeatures       = 0x010 // of the device, 32 bits at a time
	regFeaturesSel    = 0x014
	regDriverFeatures = 0x020
	regDriverSel      = 0x024
	regQueueSel       = 0x030
	regQueueMax       = 0x034
	regQueueNum       = 0x038
	regQueueReady     = 0x044
	regQueueNotify    = 0x050
	regInterrupt      = 0x060
	regInterruptAck   = 0x064
	regStatus         = 0x070
	regQueueDesc      = 0x080 // 64 bits, the low half first, like the next two
	regQueueDriver    = 0x090
	regQueueDevice    = 0x0a0
	regConfigGen      = 0x0fc // changes with the configuration
	regConfig         = 0x100
)

const (
	magic   = 0x74726976 // "virt"
	version = 2
	legacy  = 1
)

// Bits of the status register.
const (
	statusAcknowledge = 1
	statusDriver      = 2
	statusDriverOK    = 4
	statusFeaturesOK  = 8
	statusNeedsReset  = 64
	statusFailed      = 128
)

// FeatureVersion1 is the feature that makes a device a modern one.
const FeatureVersion1 = 1 << 32

// Bits of what a device interrupts for.
const (
	InterruptQueue  = 1 // it has used a buffer
	InterruptConfig = 2 // its configuration changed
)

// resetLimit is how often the status is read until a reset counts as failed. QEMU
// resets at once; real devices take microseconds, and a read takes longer than a
// tenth of one.
const resetLimit = 100_000

// configLimit is how often a configuration may change while it is read until the
// device counts as broken.
const configLimit = 8

// The reasons for which a device is refused.
var (
	ErrNoDevice = errors.New("virtio: no such device behind these registers")
	ErrLegacy   = errors.New("virtio: legacy device: only version 2 is driven (QEMU: -global virtio-mmio.force-legacy=false)")
	ErrReset    = errors.New("virtio: device does not reset")
	ErrFeatures = errors.New("virtio: features not accepted")
	ErrQueue    = errors.New("virtio: no such queue")
	ErrBroken   = errors.New("virtio: device broke the protocol of its queue")
	ErrConfig   = errors.New("virtio: configuration does not stand still")
)

// ID returns what is behind registers: the number of a kind of devices, 0 for an
// empty slot. It changes nothing. ErrLegacy: there is a device, of the version before.
func ID(r Registers) (uint32, error) {
	m, v := r.Load32(regMagic), r.Load32(regVersion)
	id := r.Load32(regDeviceID)
	if m == magic && v == legacy && id != 0 {
		return 0, fmt.Errorf("%w: kind %d, version %d", ErrLegacy, id, v)
	}
	if m != magic || v != version {
		return 0, fmt.Errorf("%w: magic %#x, version %d", ErrNoDevice, m, v)
	}
	return id, nil
}

// Reset makes a device forget everything. When it returns nil, the device accesses
// no memory and interrupts nobody.
func Reset(r Registers) error {
	r.Store32(regStatus, 0)
	for range resetLimit {
		if r.Load32(regStatus) == 0 {
			return nil
		}
	}
	return ErrReset
}

// Device is a device that was taken into use.
type Device struct {
	regs     Registers
	features uint64
}

// Open resets the device of this kind behind registers and negotiates features: of
// those wanted it takes what the device has, and it needs FeatureVersion1. Queues
// come next, then [Device.Start].
func Open(r Registers, id uint32, wanted uint64) (*Device, error) {
	got, err := ID(r)
	if err != nil {
		return nil, err
	}
	if got != id {
		return nil, fmt.Errorf("%w: it is of kind %d, not %d", ErrNoDevice, got, id)
	}
	if err := Reset(r); err != nil {
		return nil, err
	}
	d := &Device{regs: r}
	d.status(statusAcknowledge)
	d.status(statusDriver)
	offered := uint64(0)
	for half := range uint32(2) {
		r.Store32(regFeaturesSel, half)
		offered |= uint64(r.Load32(regFeatures)) << (32 * half)
	}
	if offered&FeatureVersion1 == 0 {
		d.status(statusFailed)
		return nil, fmt.Errorf("%w: not a modern device, %#x", ErrFeatures, offered)
	}
	d.features = offered & (wanted | FeatureVersion1)
	for half := range uint32(2) {
		r.Store32(regDriverSel, half)
		r.Store32(regDriverFeatures, uint32(d.features>>(32*half)))
	}
	d.status(statusFeaturesOK)
	if r.Load32(regStatus)&statusFeaturesOK == 0 {
		d.status(statusFailed)
		return nil, fmt.Errorf("%w: %#x of %#x", ErrFeatures, d.features, offered)
	}
	return d, nil
}

// status sets bits of the status register.
func (d *Device) status(bits uint32) { d.regs.Store32(regStatus, d.regs.Load32(regStatus)|bits) }

// Features returns what was negotiated.
func (d *Device) Features() uint64 { return d.features }

// Start lets the device work. All queues are there.
func (d *Device) Start() { d.status(statusDriverOK) }

// Interrupted returns what the device interrupted for, and makes it lower its
// line.
func (d *Device) Interrupted() uint32 {
	why := d.regs.Load32(regInterrupt)
	d.regs.Store32(regInterruptAck, why)
	return why
}

// NeedsReset reports whether the device has given up.
func (d *Device) NeedsReset() bool { return d.regs.Load32(regStatus)&statusNeedsReset != 0 }

// Config32 reads a word of the device's configuration.
func (d *Device) Config32(off uint32) uint32 { return d.regs.Load32(regConfig + off) }

// Config64 reads two words of the device's configuration that belong together.
// [ErrConfig]: they change all the time.
func (d *Device) Config64(off uint32) (uint64, error) {
	for range configLimit {
		before := d.regs.Load32(regConfigGen)
		v := uint64(d.Config32(off)) | uint64(d.Config32(off+4))<<32
		if d.regs.Load32(regConfigGen) == before {
			return v, nil
		}
	}
	return 0, ErrConfig
}

// QueueMax returns how many parts queue i may have, 0 if there is no such queue.
func (d *Device) QueueMax(i uint32) uint32 {
	d.regs.Store32(regQueueSel, i)
	return d.regs.Load32(regQueueMax)
}

// Reset ends the use of the device.
func (d *Device) Reset() error { return Reset(d.regs) }
