package protocol

import (
	"encoding/json"
	"fmt"
)

// Packet is one packet of the mesh, as it crosses the wire in one Engine.IO message.
type Packet struct {
	Event      string
	Payload    json.RawMessage
	From       string
	EventTable json.RawMessage
	Headers    Headers
}

// Headers are what a client says of itself, hop by hop.
type Headers struct {
	Auth *Auth
	Mesh *Hello
}

// Auth holds credentials.
type Auth struct {
	User, Password       string
	HasUser, HasPassword bool
}

// Hello is the offer of a client that speaks the extensions of this package.
type Hello struct {
	V         int
	Key, Name string
}

// SyntaxError says what is wrong with bytes that a peer sent, and where.
type SyntaxError struct {
	Offset int   // in bytes, from the start of what was parsed
	Err    error // why; errors.Is tells ErrLimit from the rest
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("protocol: %v at offset %d", e.Err, e.Offset)
}
func (e *SyntaxError) Unwrap() error { return e.Err }

// Version is the version of the extensions, Hello.V.
const Version = 1

// Names that the protocol itself uses.
const (
	NameHandshake    = "handshake"
	NameNewListener  = "newListener"
	NameHello        = "$mesh.hello"
	NameUnauthorized = "$mesh.unauthorized"
)

// Parser parses the packets of one connection; what repeats from packet to packet costs no allocation.
type Parser struct{}

func (p *Parser) Parse(b []byte) (Packet, error)            { panic("todo") }
func Parse(b []byte) (Packet, error)                        { panic("todo") }
func CheckPayload(b []byte) error                           { panic("todo") } // one JSON value that Parse would take as a payload
func AppendPacket(dst []byte, p *Packet, ascii bool) []byte { panic("todo") }
func AppendASCII(dst, rawJSON []byte) []byte                { panic("todo") }
func AppendWithID(dst, payload []byte, id string) []byte    { panic("todo") }
func PayloadID(payload []byte) string                       { panic("todo") }

type EventTable map[string]bool

func ParseEventTable(b []byte) (EventTable, error) { panic("todo") }
func (t EventTable) AppendTo(dst []byte) []byte    { panic("todo") }
func TableName(key string) string                  { panic("todo") }

func CheckEmit(name string) error      { panic("todo") } // nil: may be emitted, and a hub relays it
func CheckListen(pattern string) error { panic("todo") }
func Reserved(name string) bool        { panic("todo") }
func IsPattern(s string) bool          { panic("todo") }
func Match(pattern, name string) bool  { panic("todo") }
func ID(key string) string             { panic("todo") } // the ID that a key gives: hex of the first 16 bytes of its SHA-256

// Limits.
const (
	MaxPacket       = 100_000_000
	MaxDepth        = 512
	MaxName         = 512
	MaxID           = 128
	MaxKey          = 128
	MaxCredential   = 8 << 10
	MaxTableEntries = 4096
	MaxTableBytes   = 256 << 10
)
