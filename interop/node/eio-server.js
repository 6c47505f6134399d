'use strict'

// An engine.io server: node eio-server.js VERSION. It holds any number of servers, each on a separate port.
//
//   listen    {id, options, echo, burst, upgrade}  options are the library's; burst {prefix, count} is sent to each session
//   send      {id, session, text | base64}
//   close     {id, session}                        without a session: the server and all its sessions
//
// Events: listening {port}; open, message, upgrade, closed {reason}, each with the session's number.

const http = require('http')
const { report, serve, outgoing, incoming, unpooled, burst } = require('./lines')

const engine = require({
  '1.4.1': 'engine.io', '1.8.5': 'engine.io-1.8', '2.1.1': 'engine.io-2', '3.6.2': 'engine.io-3', '6.6.13': 'engine.io-6'
}[process.argv[2]])

const servers = new Map()

serve({ listen, send, close })

function listen (command) {
  const id = command.id
  const server = http.createServer()
  const eio = engine.attach(server, Object.assign({}, command.options))
  const sessions = []
  servers.set(id, { server, eio, sessions })

  eio.on('connection', function (socket) {
    const session = sessions.push(socket)
    let sent = 0
    report({ id, event: 'open', session, transport: socket.transport.name })
    socket.on('message', function (data) {
      report(Object.assign({ id, event: 'message', session }, incoming(data)))
      if (command.echo) socket.send(typeof data === 'string' ? data : unpooled(Buffer.from(data)))
    })
    socket.on('close', function (reason, description) {
      report({ id, event: 'closed', session, reason, error: description && String(description) })
    })
    let release = function () {}
    socket.on('upgrade', function (transport) {
      report({ id, event: 'upgrade', session, transport: transport.name, sent })
      release()
    })
    if (command.burst) {
      release = burst(command.burst, command.upgrade, function (text) {
        sent++
        socket.send(text)
      })
    }
  })

  server.listen(0, '127.0.0.1', function () {
    report({ id, event: 'listening', port: server.address().port })
  })
}

function send (command) {
  servers.get(command.id).sessions[command.session - 1].send(outgoing(command))
}

function close (command) {
  const { server, eio, sessions } = servers.get(command.id)
  if (command.session) {
    sessions[command.session - 1].close()
    return
  }
  eio.close()
  server.close()
  server.closeAllConnections()
  servers.delete(command.id)
}
