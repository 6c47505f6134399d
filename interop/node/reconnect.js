'use strict'

// The original's client survives neither a refused connect nor its own reconnects: after a refusal it never tries
// again, and each reconnect leaves one more copy of its handler behind, which sends every event once more. Applied to a
// Mesh before it connects, this mends both: an attempt that fails before the session opens is repeated after delay
// milliseconds, and a new uplink takes the handler of the previous one off first. It is in ES5, for old versions of
// Node.js.

module.exports = function reconnect (mesh, delay) {
  var connect = mesh.connect
  var uplink = mesh.uplink
  var onAny = mesh.emitter.onAny
  var handler

  mesh.connect = function (options, callback) {
    var opened = false // an error after this is followed by a close, which connects again by itself
    return connect.call(mesh, options, function (error, hub) {
      if (error && !opened) {
        return setTimeout(function () {
          mesh.connect(options, callback)
        }, delay)
      }
      opened = true
      if (!error) callback(null, hub)
    })
  }

  mesh.uplink = function (options, callback) {
    if (handler) mesh.emitter.offAny(handler)
    mesh.emitter.onAny = function (fn) { // the only way to get uplink's handler
      mesh.emitter.onAny = onAny
      handler = fn
      return onAny.call(mesh.emitter, handler)
    }
    return uplink.call(mesh, options, callback)
  }

  return mesh
}
