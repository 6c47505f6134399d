package protocol

// Limits. Beyond a limit, Parse and the other functions return ErrLimit or leave the field out; the field's comment
// says which. No function allocates by a size that the input claims.
const (
	// MaxPacket bounds one packet, in bytes. It is the message limit of the original's transport, and only a last
	// resort: a program that reads from a network sets a far lower limit there.
	MaxPacket = 100_000_000

	// MaxDepth bounds the nesting of arrays and objects. The packet's own object is the first level. A payload can
	// therefore have MaxDepth-1 levels.
	MaxDepth = 512

	// MaxName bounds an event name or pattern, in bytes of UTF-8.
	MaxName = 512

	// MaxParts bounds the parts of an event name or pattern.
	MaxParts = 32

	// MaxID bounds a node's ID, in bytes of UTF-8. The IDs that ID returns have 32 bytes, the original's have 20.
	MaxID = 128

	// MaxNumber bounds Packet.N. It is the largest whole number that JavaScript represents exactly.
	MaxNumber = 1<<53 - 1

	// MaxKey bounds the key from which ID derives a node's ID, in bytes of UTF-8.
	MaxKey = 128

	// MaxCredential bounds a user name and a password, in bytes of UTF-8 each. It leaves room for a signed token.
	MaxCredential = 8 << 10

	// MaxTableEntries bounds the members of an event table. Duplicates and entries without effect count.
	MaxTableEntries = 4096

	// MaxTableBytes bounds an event table as written, in bytes.
	MaxTableBytes = 256 << 10

	// MaxTableSteps bounds EventTable.Steps.
	MaxTableSteps = 256
)

// maxRemembered bounds the headers that a Parser remembers, in bytes as written.
const maxRemembered = 1 << 10
