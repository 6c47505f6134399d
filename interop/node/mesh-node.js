'use strict'

// One node of the original mesh: node mesh-node.js. One process holds one node, as the library's event table belongs
// to the process.
//
//   listen    {host, port, accept}         port: absent, a free one; accept: the [user, password] pairs that may
//                                          enter, absent: everybody
//   connect   {host, port, user, password, retry}   retry: milliseconds; applies reconnect.js
//   on        {name}
//   off       {name}
//   emit      {name, payload}              without payload the argument is left out
//
// Events: listening {port}; attempt and connected {result} or refused {error}, for each attempt of a client; session,
// for each that comes to a hub; heard {name, payload}, without payload where none arrived; emitted {name} and
// listens {name}, when the command was carried out.

const Mesh = require('resource-mesh/lib/Mesh')
const engine = require('engine.io')
const reconnect = require('./reconnect')
const { report, serve } = require('./lines')

const mesh = new Mesh()
const listeners = new Map()

// The hub keeps its HTTP server to itself; the engine is given it, and tells the port.
let port
const attach = engine.attach
engine.attach = function (server, options) {
  port = server.address().port
  return attach(server, options)
}

serve({
  listen (command) {
    const options = { host: command.host, port: command.port || 0 }
    if (command.accept) {
      options.auth = function (user, password, done) {
        done(null, command.accept.some(pair => pair[0] === user && pair[1] === password))
      }
    }
    mesh.listen(options, function (error, clients) {
      if (error) return report({ event: 'refused', error: String(error) })
      clients.on('connection', () => report({ event: 'session' }))
      report({ event: 'listening', port })
    })
  },

  connect (command) {
    const connect = mesh.connect
    mesh.connect = function (options, callback) {
      report({ event: 'attempt' })
      return connect.call(mesh, options, function (error, result) {
        if (error) report({ event: 'refused', error: error.message })
        else report({ event: 'connected', result })
        callback(error, result)
      })
    }
    if (command.retry) reconnect(mesh, command.retry)
    const { host, port, user, password } = command
    mesh.connect({ host, port, user, password }, function () {})
  },

  on (command) {
    const name = command.name
    listeners.set(name, function (payload) {
      report({ event: 'heard', name: this.event, payload })
    })
    mesh.emitter.on(name, listeners.get(name))
    report({ event: 'listens', name })
  },

  off (command) {
    mesh.emitter.off(command.name, listeners.get(command.name))
  },

  emit (command) {
    if ('payload' in command) mesh.emitter.emit(command.name, command.payload)
    else mesh.emitter.emit(command.name)
    report({ event: 'emitted', name: command.name })
  }
})
