'use strict'

/* global eio, burst, report, serve */

// An engine.io-client in a page of browser.js. It takes the commands of eio-client.js and reports the same events. Of the
// library's options, serverCertificateHashes is a list of SHA-256 sums in base64.

const sockets = new Map()

const table = {
  dial,
  send (command) {
    sockets.get(command.id).send('base64' in command ? fromBase64(command.base64).buffer : command.text)
  },
  close (command) {
    sockets.get(command.id).close()
  }
}

function dial (command) {
  const id = command.id
  const options = command.options
  const hashes = options.serverCertificateHashes
  if (hashes) {
    const webtransport = { serverCertificateHashes: hashes.map(sum => ({ algorithm: 'sha-256', value: fromBase64(sum) })) }
    options.transportOptions = { webtransport }
  }
  const socket = eio(command.url, options)
  socket.binaryType = 'arraybuffer'
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
    const message = typeof data === 'string' ? { text: data } : { base64: toBase64(data) }
    report(Object.assign({ id, event: 'message', session: 1 }, message))
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

function fromBase64 (text) {
  return Uint8Array.from(atob(text), c => c.charCodeAt(0))
}

function toBase64 (buffer) {
  return btoa(Array.from(new Uint8Array(buffer), b => String.fromCharCode(b)).join(''))
}

serve(table)
