// Package image is the format of a bootable Nexus image: what the kernel finds
// in memory behind itself, and what cmd/mkimage writes.
//
// An image is one flat file that the boot loader places at the board's load
// address:
//
//	offset 0        the Linux RISC-V boot header ([Header]); its first eight bytes jump to the kernel entry
//	                the kernel's segments at their physical addresses, zeros where the ELF asks for zeros
//	Header.Archive  the archive ([Archive]): one page of directory, then the entries, each on a page of its own
//	Header.Size     end of the file
//
// The archive is input like any other: [Parse] checks every bound before it
// follows it, refuses each kind of damage with an error of its own, and takes
// memory for MaxEntries entries whatever the directory claims. The format has one
// encoding for one content, so that a directory that parses is byte for byte
// what [Append] would write.
//
// Parse does not read the entries. Their SHA-256 sums are in the directory for
// the tools, which check all of a file; hashing megabytes at each boot would cost
// more than the rest of the boot.
//
// The package imports only ipc/abi and small parts of the standard library, and
// uses no memory but what its callers give it and one Archive.
package image
