'use strict'

// One node of the original mesh: node mesh-node.js. One process holds one node, because the library has one event table
// for the process.
//
//   listen    {host, port, accept}         port: absent, a free one; accept: the [user, password] pairs that the hub
//                                          admits, absent: it admits all clients
//   connect   {host, port, user, password, retry, name, burst}   retry: milliseconds; applies reconnect.js; burst
//                                          {prefix, count}: emitted as name with {text}, from the first callback on
//   on        {name, once, answer}         answer: the name of an event that the node emits with the text of each payload
//   off       {name}
//   emit      {name, payload}              without payload the argument is omitted
//   run       {text}                       a program, which has mesh, resource and report
//   tables                                 asks for the event tables that this process holds
//
// Events: listening {port}; attempt and connected {result} or refused {error}, for each attempt of a client; session,
// for each new session of a hub; upgrade, for each session that leaves polling, at a client with {sent}, the number of
// the burst's events so far; heard {name, payload}, without payload if the event had none; emitted {name} and
// listens {name}, when the command is done; ran, when a program has run to its end; tables {result}: own is the table of
// the process, and clients has the tables of a hub's clients, by session ID.

const Mesh = require('resource-mesh/lib/Mesh')
const resource = require('resource')
const engine = require('engine.io')
const reconnect = require('./reconnect')
const { report, serve, burst } = require('./lines')

const mesh = new Mesh()
const listeners = new Map()

// The hub does not expose its HTTP server, but passes it to the engine. This hook reads the port there.
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
      clients.on('connection', function (socket) {
        report({ event: 'session' })
        socket.on('upgrade', () => report({ event: 'upgrade' }))
      })
      report({ event: 'listening', port })
    })
  },

  connect (command) {
    const connect = mesh.connect
    let sent = 0
    let release
    mesh.connect = function (options, callback) {
      report({ event: 'attempt' })
      connect.call(mesh, options, function (error, result) {
        if (error) report({ event: 'refused', error: error.message })
        else report({ event: 'connected', result })
        callback(error, result)
      })
      mesh.client.on('upgrade', function () {
        report({ event: 'upgrade', sent })
        if (release) release()
      })
      return mesh
    }
    if (command.retry) reconnect(mesh, command.retry)
    const { host, port, user, password } = command
    mesh.connect({ host, port, user, password }, function (error) {
      if (error || !command.burst) return
      release = burst(command.burst, true, function (text) {
        sent++
        mesh.emitter.emit(command.name, { text })
      })
    })
  },

  on (command) {
    const name = command.name
    listeners.set(name, function (payload) {
      report({ event: 'heard', name: this.event, payload })
      // Not the payload itself: it contains the ID of its sender, and the hub would not send it to that sender.
      if (command.answer) mesh.emitter.emit(command.answer, { text: payload.text })
    })
    mesh.emitter[command.once ? 'once' : 'on'](name, listeners.get(name))
    report({ event: 'listens', name })
  },

  off (command) {
    mesh.emitter.off(command.name, listeners.get(command.name))
  },

  emit (command) {
    if ('payload' in command) mesh.emitter.emit(command.name, command.payload)
    else mesh.emitter.emit(command.name)
    report({ event: 'emitted', name: command.name })
  },

  run (command) {
    new Function('mesh', 'resource', 'report', command.text)(mesh, resource, report)
    report({ event: 'ran' })
  },

  tables () {
    const clients = {}
    for (const [id, client] of Object.entries(mesh.server ? mesh.server.clients : {})) clients[id] = client.eventTable
    report({ event: 'tables', result: { own: resource.eventTable, clients } })
  }
})
