// Package interest finds the values that are subscribed to an event by its name or by a pattern. The values are the
// clients of a hub, the listeners of a node, or the members of a local backplane.
//
// An Index is a trie. Its nodes and edges are in a few large arrays, so that a search among a hundred thousand patterns
// waits for few cache lines: trie.go has the nodes, edges.go has the edges of literal parts, list.go has the lists of
// subscribers, and search.go has the search.
//
// # Ownership
//
// An Index owns its trie. The lists of subscribers are copy-on-write: a Search returns them without a copy, and they
// never change. A Search belongs to one goroutine at a time. Its caller reuses it for further searches in the same
// Index, and calls Reset before it puts the Search into a pool.
//
// # Locks
//
// An Index has one lock, a sharded read-write mutex. Find holds one shard for reading and returns without a lock. Add,
// Remove and Update hold all shards. The package calls no code of its callers, so they may call it with any lock held.
//
// # Callers
//
// Package mesh is the only caller: the hub's routing, the registry of a node's listeners, and LocalBackplane.
package interest
