package packet

// AppendBinary appends p, which must be a binary message, in the form of a WebSocket binary frame: in revision 4 the
// bytes of Data, in revision 3 a byte 04 and these bytes.
func AppendBinary(dst []byte, rev Revision, p Packet) []byte {
	if rev == Revision3 {
		dst = append(dst, byte(Message))
	}
	return append(dst, p.Data...)
}

// ParseBinary is the reverse of AppendBinary. Data aliases b. An empty frame is an empty message in revision 4, and an
// error in revision 3. Any error is a *SyntaxError.
func ParseBinary(rev Revision, b []byte) (Packet, error) {
	p, err := parseBinary(rev, b)
	if err != nil {
		return Packet{}, err
	}
	return p, nil
}

func parseBinary(rev Revision, b []byte) (Packet, *SyntaxError) {
	start := 0
	if rev == Revision3 {
		if len(b) == 0 {
			return Packet{}, &SyntaxError{0, ErrEmpty}
		}
		if Type(b[0]) != Message {
			return Packet{}, &SyntaxError{0, ErrType}
		}
		start = 1
	}
	return Packet{Type: Message, Binary: true, Data: rest(b, start)}, nil
}
