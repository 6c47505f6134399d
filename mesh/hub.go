package mesh

import (
	"context"
	"fmt"
	"net/http"

	"github.com/bigcompany/mesh/mesh/internal/cluster"
	"github.com/bigcompany/mesh/mesh/internal/hub"
	"github.com/bigcompany/mesh/mesh/internal/wire"
)

// NewHub returns a hub without a listener, to mount in an existing server: see Node.ServeHTTP. If Options.Addr is a
// URL, its path is the path of Engine.IO. The rest of Options.Addr is not used.
func NewHub(opts *Options) (*Node, error) {
	o, addr, err := prepareHub(opts)
	if err != nil {
		return nil, err
	}
	n, h, err := newHubNode(context.Background(), o, address{path: addr.path})
	if err != nil {
		return nil, err
	}
	n.setRole(hubRole{h, n})
	return n, nil
}

// newHubNode returns a node and its hub, which has joined the other hubs and serves no listener yet.
func newHubNode(ctx context.Context, o Options, addr address) (*Node, *hub.Hub, error) {
	n := newNode(o, wire.NewID(), addr)
	h, err := n.newHub(ctx, addr)
	if err != nil {
		return nil, nil, fmt.Errorf("mesh: join the other hubs: %w", err)
	}
	n.states.set(State{Status: Connected, Role: RoleHub, Hub: HubInfo{ID: n.id, Name: o.Name}})
	return n, h, nil
}

// newHub returns a hub for a node that is, or becomes, a hub. The hub has joined the other hubs.
func (n *Node) newHub(ctx context.Context, addr address) (*hub.Hub, error) {
	o := &n.opts
	if o.Authorize == nil && (o.User != "" || o.Token != "") {
		o.Logger.Warn("mesh: this hub admits every client: only clients use User and Token, a hub checks credentials with Authorize")
	}
	conf := hub.Config{
		ID: n.id, Name: o.Name, Path: addr.path, Local: local{n}, Counters: &n.counters, Logger: o.Logger,
		Transports: o.Transports, AllowedOrigins: o.AllowedOrigins, TrustForwardedHost: o.TrustForwardedHost,
		TrustedProxies: o.proxies, TLS: o.tls, Page: o.Page, Handler: o.Handler,
		AuthTimeout: o.AuthTimeout, MuteTimeout: o.MuteTimeout,
		MaxMessage: o.MaxMessage, QueueLimit: o.QueueLimit, BufferLimit: o.BufferLimit, Rate: hub.Rate(o.Rate),
		ConnsPerAddr: o.ConnsPerAddr, SessionsPerAddr: o.SessionsPerAddr,
	}
	if addr.host != "" {
		conf.Addr = addr.String()
	}
	if o.Authorize != nil {
		conf.Authorize = func(ctx context.Context, p hub.Identity) error { return o.Authorize(ctx, credentialsOf(p)) }
	}
	if o.Permit != nil {
		conf.Permit = func(p hub.Identity, a hub.Action, event string) bool {
			return o.Permit(PeerInfo{ID: p.ID, Credentials: credentialsOf(p)}, Action(a), event)
		}
	}
	h := hub.New(conf)
	return h, n.joinOthers(ctx, h)
}

func credentialsOf(p hub.Identity) Credentials {
	return Credentials{User: p.User, Password: p.Password, Token: p.Token, Name: p.Name, RemoteAddr: p.RemoteAddr}
}

// hubRole is the role of a node that is a hub.
type hubRole struct {
	*hub.Hub
	node *Node
}

func (r hubRole) asHub() *hub.Hub { return r.Hub }

func (r hubRole) hubInfo() (HubInfo, bool) {
	return HubInfo{ID: r.node.id, Name: r.node.opts.Name}, true
}

// joinOthers connects a hub to the other hubs of its mesh, if the options have a Backplane.
func (n *Node) joinOthers(ctx context.Context, h *hub.Hub) error {
	backplane := n.opts.Backplane
	if backplane == nil {
		return nil
	}
	c := cluster.New(cluster.Config{ID: n.id, Hub: h, Counters: &n.counters, Logger: n.opts.Logger})
	h.SetOthers(c)
	return c.Join(ctx, func(receive func(from string, data []byte)) (cluster.Member, error) {
		return backplane.Join(n.id, receive)
	})
}

// RejectRebound returns a handler that rejects requests which reach this machine's loopback under a foreign name: it
// responds with status 403 if the name is not this machine's and AllowedOrigins does not allow it. It passes all other
// requests to h. Use it for data that pages of foreign sites must not read. The hub's own page and sessions have this
// protection already.
func (n *Node) RejectRebound(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !hub.RejectRebinding(n.hub(), w, r) {
			h.ServeHTTP(w, r)
		}
	})
}
