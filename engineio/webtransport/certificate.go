package webtransport

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"time"
)

// selfSignedLife is the longest validity that browsers accept.
const selfSignedLife = 14*24*time.Hour - time.Minute

// SelfSigned makes a certificate for tests and development. A page can open WebTransport sessions with a server that
// uses it if the page passes hash in the option serverCertificateHashes, with the algorithm sha-256. The certificate is
// valid for hosts (names and IP addresses), from now on for 14 days, the longest time that browsers accept for this.
func SelfSigned(hosts ...string) (certificate tls.Certificate, hash [sha256.Size]byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return certificate, hash, err
	}
	begin := time.Now().Add(-time.Second) // clocks differ slightly
	template := x509.Certificate{
		SerialNumber: big.NewInt(begin.UnixNano()),
		NotBefore:    begin,
		NotAfter:     begin.Add(selfSignedLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		return certificate, hash, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return certificate, hash, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, sha256.Sum256(der), nil
}
