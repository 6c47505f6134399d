package mesh

import "github.com/bigcompany/mesh/protocol"

// Role is the role of a node in its mesh: RoleHub or RoleClient.
type Role = protocol.Role

// The roles of a node.
const (
	RoleHub    = protocol.RoleHub
	RoleClient = protocol.RoleClient
)

// NodeInfo is a hub's description of a node: of each of its peers, and of itself.
type NodeInfo = protocol.NodeInfo

// Explanation reports whether a node would receive an event, and which rule decides that.
type Explanation = protocol.Explanation

// Rule is the rule by which a hub sends an event to a node or withholds it: protocol.RuleListens and so on.
type Rule = protocol.Rule
