package engineio_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

func TestServerOptionsThatNoServerCanHave(t *testing.T) {
	text, empty := engineio.Text("a\x1eb"), engineio.Binary(nil)
	for want, o := range map[string]*engineio.ServerOptions{
		`Revisions: there is no revision 5`:                            {Revisions: []engineio.Revision{engineio.Revision4, 5}},
		`Revisions: there is no revision 0`:                            {Revisions: []engineio.Revision{0}},
		`Transports: there is no transport "websockets"`:               {Transports: []engineio.Transport{engineio.Polling, "websockets"}},
		`Transports: there is no transport ""`:                         {Transports: []engineio.Transport{""}},
		`MaxPayload is -1; use a positive number of bytes`:             {MaxPayload: -1},
		`QueueLimit is -1`:                                             {QueueLimit: -1},
		`BufferLimit is -1`:                                            {BufferLimit: -1},
		`ReceiveLimit is -1`:                                           {ReceiveLimit: -1},
		`CompressionThreshold is -1`:                                   {CompressionThreshold: -1},
		`PingInterval is -1s; use a positive time`:                     {PingInterval: -time.Second},
		`PingTimeout is -1s`:                                           {PingTimeout: -time.Second},
		`UpgradeTimeout is -1s`:                                        {UpgradeTimeout: -time.Second},
		`WriteTimeout is -1s`:                                          {WriteTimeout: -time.Second},
		`PingInterval is 25ns; the protocol counts in milliseconds`:    {PingInterval: 25},
		`PingTimeout is 999µs; the protocol counts in milliseconds`:    {PingTimeout: 999 * time.Microsecond},
		`PingInterval is 720h0m0s; use less than 24 days`:              {PingInterval: 30 * 24 * time.Hour},
		`PingInterval and PingTimeout are 624h0m0s together; use less`: {PingInterval: 13 * 24 * time.Hour, PingTimeout: 13 * 24 * time.Hour},
		`InitialMessage: engineio: text with U+001E`:                   {InitialMessage: &text},
		`InitialMessage: engineio: a binary message without bytes`:     {InitialMessage: &empty},
		`Cookie: http: invalid Cookie.Name`:                            {Cookie: &http.Cookie{Name: "a b"}},
		`https//example.com`:                                           {AllowedOrigins: []string{"https//example.com"}},
	} {
		t.Run(want, func(t *testing.T) {
			err := o.Check()
			require.ErrorContains(t, err, want)
			require.PanicsWithError(t, err.Error(), func() { engineio.NewServer(echoHandler, o) })
		})
	}
	for _, o := range []*engineio.ServerOptions{
		nil, {}, {PingInterval: time.Millisecond, PingTimeout: time.Millisecond}, {Transports: []engineio.Transport{engineio.WebTransport}},
		{MaxPayload: 1, QueueLimit: 1, BufferLimit: 1, ReceiveLimit: 1, CompressionThreshold: 1, WriteTimeout: 1},
		{PingInterval: engineio.MaxSilence - time.Millisecond, PingTimeout: time.Millisecond},
	} {
		require.NoError(t, o.Check())
		require.NoError(t, engineio.NewServer(echoHandler, o).Close())
	}
}

func TestDialOptionsThatNoClientCanHave(t *testing.T) {
	for want, o := range map[string]*engineio.DialOptions{
		"DialOptions.MaxPayload is -1":      {MaxPayload: -1},
		"DialOptions.QueueLimit is -1":      {QueueLimit: -1},
		"DialOptions.UpgradeTimeout is -1s": {UpgradeTimeout: -time.Second},
		"DialOptions.WriteTimeout is -1s":   {WriteTimeout: -time.Second},
	} {
		_, err := engineio.Dial(t.Context(), "http://localhost:1", o)
		require.ErrorContains(t, err, want)
	}
}
