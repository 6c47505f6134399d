// Package sharded provides a read-write mutex for data that many cores read at every event and that rarely changes.
//
// The index of subscriptions guards its trie with it. The hub's routing holds it for reading, so that other parts of
// the hub can wait until the events that were being routed have been sent.
package sharded
