package engineio

import "net/http"

// cookieTemplate completes ServerOptions.Cookie.
func cookieTemplate(c http.Cookie) *http.Cookie {
	c.Name = orElse(c.Name, "io")
	c.Path = orElse(c.Path, "/")
	c.SameSite = orElse(c.SameSite, http.SameSiteLaxMode)
	c.HttpOnly = true
	c.Value = "sid"
	return &c
}

// setCookie adds the session's cookie to the response that opens it.
func (srv *Server) setCookie(w http.ResponseWriter, s *Socket) {
	if srv.opts.Cookie != nil {
		c := *srv.opts.Cookie
		c.Value = s.id
		http.SetCookie(w, &c)
	}
}
