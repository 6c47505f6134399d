package webtransport

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/bigcompany/mesh/engineio/internal/wtstream"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"
	"github.com/quic-go/webtransport-go"
)

// stream implements wtstream.Stream with one stream of a session. Closing it closes the session.
type stream struct {
	*webtransport.Stream
	session *webtransport.Session
	// request is, at a server, the stream of the request that opened the session. The server closes the session on it.
	request *http3.Stream
	close   sync.Once
}

var _ wtstream.Stream = (*stream)(nil)

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.Stream.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && s.session.Context().Err() != nil {
		_, err = s.session.AcceptStream(context.Background()) // the session's error, because the stream may have got another error
	}
	if inGoodOrder(err) {
		err = io.EOF
	}
	return n, err
}

// CloseWrite closes the sending side.
func (s *stream) CloseWrite() error { return s.Stream.Close() }

const (
	// farewell is the time for a client to close a session that the server has closed.
	farewell = time.Second
	// promptly is the time for the buffers of the kernel and of QUIC to accept a few bytes.
	promptly = 10 * time.Millisecond
)

// Close closes the session.
//
// Session.CloseWithError announces the close to the peer and, in the same packet, cancels all streams. Chromium
// mistakes that for a lost connection. So the server only announces the close and leaves the cancelling to the client.
// It calls CloseWithError if the client does not close in time.
func (s *stream) Close() error {
	s.close.Do(func() {
		if s.request == nil || s.session.Context().Err() != nil || !s.announceClose() {
			_ = s.session.CloseWithError(0, "")
			return
		}
		_ = s.SetDeadline(time.Unix(1, 0)) // ends current reads and writes
		cancel := time.AfterFunc(farewell, func() { _ = s.session.CloseWithError(0, "") })
		context.AfterFunc(s.session.Context(), func() { cancel.Stop() })
	})
	return nil
}

// announceClose writes the capsule WT_CLOSE_SESSION with the code 0 and no message, and then closes the request's
// stream.
func (s *stream) announceClose() bool {
	const closeSession, size = 0x2843, 4
	capsule := quicvarint.Append(quicvarint.Append(nil, closeSession), size)
	_ = s.request.SetWriteDeadline(time.Now().Add(promptly)) // a broken stream fails in Write
	_, err := s.request.Write(append(capsule, 0, 0, 0, 0))
	return err == nil && s.request.Close() == nil
}

// inGoodOrder reports whether err means that the peer closed the session, or the connection, without an error.
func inGoodOrder(err error) bool {
	if closed, ok := errors.AsType[*webtransport.SessionError](err); ok {
		return closed.Remote && closed.ErrorCode == 0
	}
	if gone, ok := errors.AsType[*quic.ApplicationError](err); ok {
		return gone.Remote && (gone.ErrorCode == 0 || gone.ErrorCode == quic.ApplicationErrorCode(http3.ErrCodeNoError))
	}
	return false
}
