'use strict'

// The original's client has two faults. After a refused connection it never tries again. And each reconnect adds one
// more copy of its handler, which sends every event once more. This function, applied to a Mesh before it connects,
// corrects both: the client repeats an attempt that fails before the session opens, after delay milliseconds, and a new
// uplink first removes the handler of the previous uplink. The code is ES5, for old versions of Node.js.

module.exports = function reconnect (mesh, delay) {
  var connect = mesh.connect
  var uplink = mesh.uplink
  var onAny = mesh.emitter.onAny
  var handler

  mesh.connect = function (options, callback) {
    var opened = false // a later error is followed by a close, after which the client reconnects by itself
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
