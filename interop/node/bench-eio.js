'use strict'

// An engine.io 6 server for the program bench: node bench-eio.js MODE [PING_INTERVAL]. It has the library's defaults, but
// admits clients of revision 3 too. MODE is echo, or relay, which sends each message to all other sessions; PING_INTERVAL
// is in milliseconds.
//
// Events: listening {port}. It ends with its standard input.

const http = require('http')
const { report } = require('./lines')
const engine = require('engine.io-6')

const relay = process.argv[2] === 'relay'
const options = { transports: ['polling', 'websocket'], allowEIO3: true, perMessageDeflate: false }
if (process.argv[3]) options.pingInterval = Number(process.argv[3])

const server = http.createServer()
const sessions = new Set()

engine.attach(server, options).on('connection', function (socket) {
  sessions.add(socket)
  socket.on('close', () => sessions.delete(socket))
  socket.on('message', function (data) {
    if (!relay) return socket.send(data)
    for (const other of sessions) {
      if (other !== socket) other.send(data)
    }
  })
})

server.listen(0, '127.0.0.1', function () {
  report({ event: 'listening', port: server.address().port })
})
process.stdin.on('end', () => process.exit(0)).resume()
