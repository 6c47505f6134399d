'use strict'

// The code that the peers share. Commands arrive as JSON lines on standard input, and events leave as JSON lines on
// standard output. A peer ends when its input ends, so that it does not outlive the test that started it.

const readline = require('readline')

// Some of the libraries print. Standard output is for events only.
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

// outgoing returns the data that a command sends: a string, or a Buffer.
exports.outgoing = function outgoing (command) {
  return 'base64' in command ? unpooled(Buffer.from(command.base64, 'base64')) : command.text
}

// unpooled copies bytes into a Buffer that shares its memory with no other Buffer. engine.io-parser 1.1.0 sends the whole
// memory of which a Buffer is a part.
exports.unpooled = unpooled
function unpooled (bytes) {
  const own = Buffer.alloc(bytes.length)
  own.set(bytes)
  return own
}

// incoming describes a received message: text unchanged, and binary data as base64.
exports.incoming = function incoming (data) {
  return typeof data === 'string' ? { text: data } : { base64: Buffer.from(data).toString('base64') }
}

exports.burst = require('./burst')
