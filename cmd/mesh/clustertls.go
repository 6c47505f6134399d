package main

import (
	"crypto/ed25519"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"time"
)

const (
	// minClusterSecret is the minimum length of a secret, in bytes. An attacker that reaches a hub's cluster address
	// can test guesses offline, as fast as the attacker's machines compute the rounds.
	minClusterSecret = 16
	clusterRounds    = 600_000
)

var errOtherSecret = errors.New("it has another secret or --cluster-name than this hub, or is not a hub")

// clusterTLS derives the TLS configuration for connections between the hubs of a cluster from the cluster's name and
// secret. All hubs with the same name and secret derive the same key, and each end of a connection accepts no other
// key. So users need not make certificates, and only the TLS code reads a stranger's bytes.
func clusterTLS(name, secret string) (*tls.Config, error) {
	seed, err := pbkdf2.Key(sha256.New, secret, []byte("mesh cluster "+name), clusterRounds, ed25519.SeedSize)
	if err != nil {
		return nil, err
	}
	key := ed25519.NewKeyFromSeed(seed)
	public := key.Public().(ed25519.PublicKey)
	// TLS needs the key in a certificate. No code checks the certificate's other fields.
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}
	cert, err := x509.CreateCertificate(nil, template, template, public, key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		Certificates:           []tls.Certificate{{Certificate: [][]byte{cert}, PrivateKey: key}},
		ClientAuth:             tls.RequireAnyClientCert,
		InsecureSkipVerify:     true, // of names and authorities: VerifyConnection checks the key, at both ends
		MinVersion:             tls.VersionTLS13,
		SessionTicketsDisabled: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 || !public.Equal(s.PeerCertificates[0].PublicKey) {
				return errOtherSecret
			}
			return nil
		},
	}, nil
}
