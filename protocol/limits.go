package protocol

// Limits. Parse and its fellows answer with ErrLimit, or leave out what the field's comment says, rather than go
// beyond them. None of them allocates by what the input claims.
const (
	// MaxPacket bounds one packet, in bytes. It is the message limit of the original's transport, and only the last
	// line: whoever reads from a network sets a far lower limit there.
	MaxPacket = 100_000_000

	// MaxDepth bounds how deep arrays and objects nest, the packet's own object counted as the first level. A payload
	// can therefore have MaxDepth-1 levels.
	MaxDepth = 512

	// MaxName bounds an event name or pattern, in bytes of UTF-8.
	MaxName = 512

	// MaxParts bounds the parts of an event name or pattern.
	MaxParts = 32

	// MaxID bounds a node's ID, in bytes of UTF-8. The IDs that ID makes have 32, the original's have 20.
	MaxID = 128

	// MaxNumber bounds Packet.N: JavaScript has no larger whole numbers.
	MaxNumber = 1<<53 - 1

	// MaxKey bounds the key from which a node's ID is made, in bytes of UTF-8.
	MaxKey = 128

	// MaxCredential bounds a user name and a password, in bytes of UTF-8 each. It leaves room for a signed token.
	MaxCredential = 8 << 10

	// MaxTableEntries bounds the members of an event table, duplicates and those without effect included.
	MaxTableEntries = 4096

	// MaxTableBytes bounds an event table as written, in bytes.
	MaxTableBytes = 256 << 10

	// MaxTableSteps bounds EventTable.Steps.
	MaxTableSteps = 256
)

// maxRemembered bounds the headers that a Parser remembers, in bytes as written.
const maxRemembered = 1 << 10
