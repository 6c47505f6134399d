package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/bigcompany/mesh/mesh"
)

// The environment variables that can configure how a hub joins others.
const (
	clusterSecretVariable = "MESH_CLUSTER_SECRET"
	natsVariable          = "MESH_NATS"
)

// clusterFlags configures how a hub joins others into one mesh: by an embedded NATS server, or by an existing one.
type clusterFlags struct {
	cluster, secretFile string
	nats, credsFile     string
	name                string
}

func (f *clusterFlags) register(set *pflag.FlagSet) {
	set.StringVar(&f.cluster, "cluster", "", "join other hubs into one mesh, at the addresses `OWN[,OTHER...]`: host:port at which they reach this hub, then their addresses")
	set.StringVar(&f.secretFile, "cluster-secret-file", "", "`FILE` with the secret that all hubs of the cluster share (default: the environment variable "+clusterSecretVariable+")")
	set.StringVar(&f.nats, "nats", "", "join other hubs through the NATS server at `URL`, or several separated by commas (default: the environment variable "+natsVariable+", in which URLs may contain a user and a password)")
	set.StringVar(&f.credsFile, "nats-creds", "", "`FILE` with the credentials for --nats, as the NATS tools write it")
	set.StringVar(&f.name, "cluster-name", "mesh", "`NAME` of the mesh, the same at all its hubs: meshes with different names share a NATS server")
}

// clusterName matches the names that NATS allows for a cluster and for a part of a subject.
var clusterName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// backplane checks the flags and returns the backplane that they configure, or nil without such flags.
func (f *clusterFlags) backplane(ctx context.Context, opts *mesh.Options, logs *logFlags) (mesh.Backplane, error) {
	urls := cmp.Or(f.nats, os.Getenv(natsVariable))
	switch {
	case !clusterName.MatchString(f.name):
		return nil, fmt.Errorf("--cluster-name %q: take up to 64 letters, digits, - and _", f.name)
	case f.cluster != "" && urls != "":
		return nil, errors.New("--cluster starts a NATS server, --nats or " + natsVariable + " names an existing one: give one of the two")
	case f.cluster != "" && f.credsFile != "":
		return nil, errors.New("--nats-creds is for --nats: --cluster has --cluster-secret-file")
	case f.cluster != "":
		return f.embedded(ctx, opts, logs)
	case f.secretFile != "":
		return nil, errors.New("--cluster-secret-file is for --cluster: give the addresses of the hubs too")
	case urls != "":
		return f.existing(urls, opts, logs)
	case f.credsFile != "":
		return nil, errors.New("--nats-creds is for --nats: give the URL of the NATS server too")
	}
	return nil, nil
}

// embedded returns the backplane of --cluster.
func (f *clusterFlags) embedded(ctx context.Context, opts *mesh.Options, logs *logFlags) (mesh.Backplane, error) {
	b := new(embedded)
	b.name, b.logger, b.notice = f.name, opts.Logger, logs.notice
	local := true
	for i, text := range strings.Split(f.cluster, ",") {
		addr, err := checkHostPort(strings.TrimSpace(text), i == 0)
		if err != nil {
			return nil, fmt.Errorf("--cluster %s: %w", text, err)
		}
		local = local && isLocal(addr)
		switch {
		case i == 0:
			b.own = addr
		case addr != b.own && !slices.Contains(b.others, addr):
			b.others = append(b.others, addr)
		}
	}
	if err := checkOwnAddr(ctx, b.own, local); err != nil {
		return nil, fmt.Errorf("--cluster %s: %w", b.own, err)
	}
	text, err := secret(opts.Logger, "--cluster-secret-file", f.secretFile, clusterSecretVariable)
	switch {
	case err != nil:
		return nil, err
	case text == "" && !local:
		return nil, errors.New("hubs on several machines need a secret: make one with 'openssl rand -hex 32', write it to a file on all of them, and give --cluster-secret-file FILE or set " + clusterSecretVariable)
	case text == "":
		return b, nil
	case len(text) < minClusterSecret:
		return nil, fmt.Errorf("the secret of the cluster is too short: take at least %d characters, such as those of 'openssl rand -hex 32'", minClusterSecret)
	}
	b.tls, err = clusterTLS(f.name, text)
	return b, err
}

// checkHostPort checks an address and returns it in a canonical form, so that equal addresses compare as equal. A hub's
// own address may have no host, which means all addresses of the machine, and the port 0, which lets the system choose
// a port.
func checkHostPort(text string, own bool) (string, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return "", errors.New("give host:port, such as one.example.com:6222")
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 && !own {
		return "", errors.New("the port must be a number up to 65535")
	}
	if host == "" && own {
		host = "0.0.0.0"
	}
	if host == "" || strings.ContainsAny(host, "/@? ") {
		return "", errors.New("give host:port, such as one.example.com:6222")
	}
	return net.JoinHostPort(host, strconv.FormatUint(n, 10)), nil
}

// isLocal reports whether an address, as it is written, is unreachable for other machines.
func isLocal(addr string) bool {
	host, _, _ := net.SplitHostPort(addr)
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// checkOwnAddr rejects a name that means a loopback address on this machine. Debian writes such names into /etc/hosts,
// and the other hubs would wait for this hub for ever.
func checkOwnAddr(ctx context.Context, addr string, local bool) error {
	if local {
		return nil
	}
	host, port, _ := net.SplitHostPort(addr)
	ips, _ := net.DefaultResolver.LookupHost(ctx, host) // without an address, listening fails and reports the reason
	if len(ips) == 0 || slices.ContainsFunc(ips, func(ip string) bool { return !isLocal(net.JoinHostPort(ip, port)) }) {
		return nil
	}
	return fmt.Errorf("on this machine the name means %s, which no other machine reaches: give the machine's address, or %s", ips[0], net.JoinHostPort("0.0.0.0", port))
}
