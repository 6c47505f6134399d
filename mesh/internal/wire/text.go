package wire

import "strings"

// MaxText bounds a text of another node, in bytes.
const MaxText = 1000

// Truncate returns the first MaxText bytes of a text from another node, for errors and log lines.
func Truncate(s string) string { return strings.ToValidUTF8(s[:min(len(s), MaxText)], "") }
