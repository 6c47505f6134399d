package meshtest

import (
	"encoding/json"
	"fmt"
	"strings"
)

// The control packets of a move, without a query ID.
const (
	Move    = `{"event":"$mesh.move","payload":{}}`
	Sync    = `{"event":"$mesh.sync","payload":{}}`
	Leaving = `{"event":"$mesh.leaving","payload":{}}`
	Left    = `{"event":"$mesh.left","payload":{}}`
)

// Event returns an event with the name e. The number is its payload and its sequence number.
func Event(number int) string {
	return fmt.Sprintf(`{"event":"e","payload":%d,"n":%d}`, number, number)
}

// Table returns a packet that announces the listeners of a client, as a client of the original does. A key is an event
// name with the prefix "mesh::", unless the name contains "::" already.
func Table(keys ...string) string {
	table := make(map[string]map[string]bool)
	for _, k := range keys {
		table[k] = map[string]bool{"remote": true}
	}
	b, err := json.Marshal(map[string]any{
		"event": "handshake", "payload": struct{}{}, "eventTable": table, "headers": map[string]any{"auth": struct{}{}},
	})
	if err != nil {
		panic(err)
	}
	return string(b)
}

// Offer returns the first packet of a client that offers the extensions. The name is the beginning of its key. fields
// are further JSON members of the offer, each after a comma.
func Offer(name, fields string, keys ...string) string {
	offer := fmt.Sprintf(`"headers":{"mesh":{"v":1,"key":"%s"%s},`, Key(name), fields)
	return strings.Replace(Table(keys...), `"headers":{`, offer, 1)
}

// Conn returns the fields of an offer that number the client's connection. Such a client can move.
func Conn(number int) string { return fmt.Sprintf(`,"moves":true,"conn":%d`, number) }

// Key returns a client's key that begins with name.
func Key(name string) string { return name + strings.Repeat("-", 32-len(name)) }
