package hub

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestShapeOf(t *testing.T) {
	for name, want := range map[string]string{
		"": "", "job::done": "job::done", "device::17::set": "device::#::set", "room2": "room#", "v2.10": "v#.#", "deadbeef": "deadbeef",
		"reply-3fa9c1d2e4b5a697": "reply-#", "x::550e8400-e29b-41d4-a716-446655440000": "x::#", "é7": "é#", "a1b": "a#b", "::": "::",
	} {
		require.Equal(t, want, shapeOf(name), name)
	}
}

func TestCommonPrefix(t *testing.T) {
	for _, tc := range [][3]string{{"", "", ""}, {"abc", "abd", "ab"}, {"abc", "ab", "ab"}, {"é1", "è1", ""}, {"é1", "é2", "é"}, {"a", "", ""}} {
		require.Equal(t, tc[2], tc[0][:commonPrefix(tc[0], tc[1])], "%v", tc)
	}
}
