package virt

// Exit statuses of QEMU for failures before the kernel has its own trap vector.
const (
	statusTrap    = 71 // an exception
	statusImage   = 72 // the image has no usable boot header
	statusTree    = 73 // the device tree is missing, damaged or in the way
	statusEntropy = 74 // there is no entropy in it
	statusBlocked = 75 // every goroutine of the kernel waits for something
)
