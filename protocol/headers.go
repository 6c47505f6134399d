package protocol

import (
	"fmt"
	"log/slog"
	"strconv"
)

// Headers describes a client to the hub that it is connected to. The hub relays no headers.
//
// Headers, Auth and Hello print, log and marshal without their secrets, whatever the verb. Only AppendPacket writes the
// secrets.
type Headers struct {
	Auth *Auth  // headers.auth; nil unless it is an object
	Mesh *Hello // headers.mesh; nil unless it is an object
}

// Auth holds the credentials of a client. A field counts as absent if it is not a string, is longer than MaxCredential
// or has half a surrogate pair. The original leaves out both fields when it has no credentials.
type Auth struct {
	User, Password       string
	HasUser, HasPassword bool // the fields are present, perhaps empty. AppendPacket also writes a field that is not empty
}

// Hello is the offer of a client to use the extensions of this package. A field of the wrong type, or beyond its limit,
// has its zero value.
type Hello struct {
	V     int    // the client's Version; 0 if it is absent or unusable
	Key   string // secret, at most MaxKey bytes; ID derives the client's ID from it
	Name  string // for display, at most MaxName bytes
	Moves bool   // the client moves to another hub when its hub sends NameMove

	// Conn numbers the connections that the client makes with its key: 1, 2, 3 and so on, at most MaxNumber. It is 0 if
	// the client does not count them.
	Conn uint64
	// Beside means that the client is moving: its previous connection stays in use until the client emits on this one.
	Beside bool
}

// readHeaders returns the headers in raw, a valid JSON value.
func readHeaders(raw []byte) Headers {
	var h Headers
	if raw[0] != '{' {
		return h
	}
	var m member
	for o := objectAt(raw, 0, MaxDepth); o.more(&m); {
		switch {
		case m.is("auth"):
			h.Auth = readAuth(m.value)
		case m.is("mesh"):
			h.Mesh = readHello(m.value)
		}
	}
	return h
}

func readAuth(raw []byte) *Auth {
	if raw[0] != '{' {
		return nil
	}
	var (
		a Auth
		m member
	)
	for o := objectAt(raw, 0, MaxDepth); o.more(&m); {
		switch {
		case m.is("user"):
			a.User, a.HasUser = optional(m.value, MaxCredential)
		case m.is("password"):
			a.Password, a.HasPassword = optional(m.value, MaxCredential)
		}
	}
	return &a
}

func readHello(raw []byte) *Hello {
	if raw[0] != '{' {
		return nil
	}
	var (
		h Hello
		m member
	)
	for o := objectAt(raw, 0, MaxDepth); o.more(&m); {
		switch {
		case m.is("v"):
			h.V = 0
			if len(m.value) <= maxDigits {
				h.V, _ = strconv.Atoi(string(m.value))
			}
		case m.is("key"):
			h.Key, _ = optional(m.value, MaxKey)
		case m.is("name"):
			h.Name, _ = optional(m.value, MaxName)
		case m.is("moves"):
			h.Moves = string(m.value) == "true"
		case m.is("conn"):
			h.Conn = number(m.value)
		case m.is("beside"):
			h.Beside = string(m.value) == "true"
		}
	}
	return &h
}

// maxDigits bounds the digits of a version, so that it fits an int everywhere.
const maxDigits = 9

// optional decodes a string that counts as absent if the value is not a string or decode rejects it.
func optional(raw []byte, limit int) (string, bool) {
	s, why := decode(raw, limit, "")
	return s, why == nil
}

func (h *Headers) empty() bool { return h.Auth == nil && h.Mesh == nil }

func (h *Headers) appendTo(dst []byte, ascii bool) []byte {
	dst = append(dst, '{')
	if h.Auth != nil {
		dst = append(dst, `"auth":`...)
		dst = h.Auth.appendTo(dst, ascii)
	}
	if h.Mesh != nil {
		if h.Auth != nil {
			dst = append(dst, ',')
		}
		dst = append(dst, `"mesh":`...)
		dst = h.Mesh.appendTo(dst, ascii)
	}
	return append(dst, '}')
}

func (a *Auth) appendTo(dst []byte, ascii bool) []byte {
	hasUser := a.HasUser || a.User != ""
	dst = append(dst, '{')
	if hasUser {
		dst = appendString(append(dst, `"user":`...), a.User, ascii)
	}
	if a.HasPassword || a.Password != "" {
		if hasUser {
			dst = append(dst, ',')
		}
		dst = appendString(append(dst, `"password":`...), a.Password, ascii)
	}
	return append(dst, '}')
}

func (h *Hello) appendTo(dst []byte, ascii bool) []byte {
	dst = strconv.AppendInt(append(dst, `{"v":`...), int64(h.V), 10)
	dst = appendString(append(dst, `,"key":`...), h.Key, ascii)
	if h.Name != "" {
		dst = appendString(append(dst, `,"name":`...), h.Name, ascii)
	}
	if h.Moves {
		dst = append(dst, `,"moves":true`...)
	}
	if h.Conn != 0 {
		dst = strconv.AppendUint(append(dst, `,"conn":`...), h.Conn, 10)
	}
	if h.Beside {
		dst = append(dst, `,"beside":true`...)
	}
	return append(dst, '}')
}

// String says which headers are present, without secrets.
func (h Headers) String() string {
	auth, mesh := "absent", "absent"
	if h.Auth != nil {
		auth = h.Auth.String()
	}
	if h.Mesh != nil {
		mesh = h.Mesh.String()
	}
	return fmt.Sprintf("{auth: %s, mesh: %s}", auth, mesh)
}

// String says which credentials are present, without their values.
func (a Auth) String() string {
	return fmt.Sprintf("{user: %s, password: %s}", presence(a.HasUser || a.User != ""),
		presence(a.HasPassword || a.Password != ""))
}

// String leaves out the key's value.
func (h Hello) String() string {
	return fmt.Sprintf("{v: %d, key: %s, name: %q}", h.V, presence(h.Key != ""), h.Name)
}

func presence(there bool) string {
	if there {
		return "present"
	}
	return "absent"
}

// Formatting, logging and marshalling all use String: a verb such as %d, %#v or a JSON log handler would otherwise show
// the fields.

// Format writes String, whatever the verb.
func (h Headers) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(h.String())) }

// Format writes String, whatever the verb.
func (a Auth) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(a.String())) }

// Format writes String, whatever the verb.
func (h Hello) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(h.String())) }

// LogValue returns String, so that no log handler sees the fields.
func (h Headers) LogValue() slog.Value { return slog.StringValue(h.String()) }

// MarshalText returns String, so that no encoder writes the secrets.
func (h Headers) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// LogValue returns String, so that no log handler sees the fields.
func (a Auth) LogValue() slog.Value { return slog.StringValue(a.String()) }

// MarshalText returns String, so that no encoder writes the secrets.
func (a Auth) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// LogValue returns String, so that no log handler sees the fields.
func (h Hello) LogValue() slog.Value { return slog.StringValue(h.String()) }

// MarshalText returns String, so that no encoder writes the secrets.
func (h Hello) MarshalText() ([]byte, error) { return []byte(h.String()), nil }
