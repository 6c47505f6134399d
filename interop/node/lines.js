'use strict'

// What the peers share: commands arrive as JSON lines on standard input, events leave as JSON lines on standard
// output. A peer ends with its input, so that none outlives the test that started it.

const readline = require('readline')

// Some of the libraries print. Standard output belongs to the events.
console.log = console.info = console.error

exports.report = function report (event) {
  process.stdout.write(JSON.stringify(event) + '\n')
}

// serve reports ready, and runs table[command.do](command) for each line.
exports.serve = function serve (table) {
  exports.report({ event: 'ready' })
  const lines = readline.createInterface({ input: process.stdin })
  lines.on('line', function (line) {
    const command = JSON.parse(line)
    table[command.do](command)
  })
  lines.on('close', function () {
    process.exit(0)
  })
}

// outgoing is what a command asks to send: a string, or a Buffer.
exports.outgoing = function outgoing (command) {
  return 'base64' in command ? unpooled(Buffer.from(command.base64, 'base64')) : command.text
}

// unpooled copies bytes into a Buffer that shares its memory with no other: engine.io-parser 1.1.0 sends all of the
// memory that a Buffer is a part of.
exports.unpooled = unpooled
function unpooled (bytes) {
  const own = Buffer.alloc(bytes.length)
  own.set(bytes)
  return own
}

// incoming describes a received message: text as it is, anything else as base64.
exports.incoming = function incoming (data) {
  return typeof data === 'string' ? { text: data } : { base64: Buffer.from(data).toString('base64') }
}

exports.burst = require('./burst')
