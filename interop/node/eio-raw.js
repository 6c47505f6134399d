'use strict'

// engine.io 6 for tests that send raw bytes to it: node eio-raw.js. It holds any number of servers, each on a separate
// port. The servers echo every message unchanged.
//
//   listen    {id, options}   options are the library's, except hooks:
//             refuse: TEXT      allowRequest rejects every request with this message
//             failId: true      generateId fails
//             ownIds: true      session IDs are the library's own, and not as long as those of the Go server
//   close     {id}
//
// Events: listening {port}.
//
// Besides the path of the library, each server responds to GET requests for /control/NAME:
//
//   state     {"sessions": number of open sessions, "polls": number of waiting polls}
//   send      sends the query's text on all sessions, count times; without compression if the query has plain
//   close     closes all sessions

const crypto = require('crypto')
const http = require('http')
const { report, serve } = require('./lines')
const engine = require('engine.io-6')

const servers = new Map()

serve({ listen, close })

function listen (command) {
  const { hooks = {}, ...options } = command.options || {}
  if ('refuse' in hooks) options.allowRequest = (req, done) => done(hooks.refuse, false)
  const server = http.createServer(function (req, res) {
    const url = new URL(req.url, 'http://localhost')
    const what = control[url.pathname.replace('/control/', '')]
    if (!what) {
      res.writeHead(404)
      return res.end()
    }
    res.end(JSON.stringify(what(Object.values(eio.clients), url.searchParams) || {}))
  })
  const eio = engine.attach(server, options)
  if (hooks.failId) eio.generateId = () => Promise.reject(new Error('no ID'))
  else if (!hooks.ownIds) eio.generateId = () => crypto.randomBytes(18).toString('base64url')
  eio.on('connection', socket => socket.on('message', data => socket.send(data)))
  servers.set(command.id, { server, eio })
  server.listen(0, '127.0.0.1', () => report({ id: command.id, event: 'listening', port: server.address().port }))
}

const control = {
  state: sockets => ({
    sessions: sockets.length,
    polls: sockets.filter(s => s.transport.name === 'polling' && s.transport.writable).length
  }),
  send: (sockets, query) => sockets.forEach(function (socket) {
    for (let i = 0; i < Number(query.get('count') || 1); i++) {
      socket.send(query.get('text'), { compress: !query.has('plain') })
    }
  }),
  close: sockets => sockets.forEach(socket => socket.close())
}

function close ({ id }) {
  const { server, eio } = servers.get(id)
  eio.close()
  server.close()
  server.closeAllConnections()
  servers.delete(id)
}
