'use strict'

// An engine.io-client: node eio-client.js VERSION. It holds any number of sessions. Versions 1 to 3 speak revision 3,
// version 6 speaks revision 4.
//
//   dial      {id, url, options, burst, upgrade}   options are the library's; burst {prefix, count} is sent on opening
//   send      {id, text | base64}
//   close     {id}
//
// Events: open, message, upgrade, upgradeError {error}, error {error}, closed {reason}.

const { report, serve, outgoing, incoming, burst } = require('./lines')

const { Socket } = require({
  '1.4.1': 'engine.io-client',
  '1.8.5': 'engine.io-client-1.8',
  '2.1.1': 'engine.io-client-2',
  '3.5.4': 'engine.io-client-3',
  '6.6.8': 'engine.io-client-6'
}[process.argv[2]])

const sockets = new Map()

serve({
  dial,
  send (command) {
    sockets.get(command.id).send(outgoing(command))
  },
  close (command) {
    sockets.get(command.id).close()
  }
})

function dial (command) {
  const id = command.id
  const socket = new Socket(command.url, Object.assign({}, command.options))
  sockets.set(id, socket)

  let sent = 0
  let release = function () {}
  socket.on('open', function () {
    report({ id, event: 'open', session: 1, transport: socket.transport.name })
    if (command.burst) {
      release = burst(command.burst, command.upgrade, function (text) {
        sent++
        socket.send(text)
      })
    }
  })
  socket.on('message', function (data) {
    report(Object.assign({ id, event: 'message', session: 1 }, incoming(data)))
  })
  socket.on('upgrade', function (transport) {
    report({ id, event: 'upgrade', session: 1, transport: transport.name, sent })
    release()
  })
  socket.on('upgradeError', function (error) {
    report({ id, event: 'upgradeError', session: 1, error: describe(error) })
  })
  socket.on('error', function (error) {
    report({ id, event: 'error', session: 1, error: describe(error) })
  })
  socket.on('close', function (reason) {
    report({ id, event: 'closed', session: 1, reason })
  })
}

function describe (error) {
  const detail = error.description && (error.description.message || error.description)
  return detail ? error.message + ': ' + String(detail) : String(error.message || error)
}
