'use strict'

// A client of the mesh that reconnects when its hub is back, in ES5. It prints each ping event that it receives, and emits
// a number every INTERVAL milliseconds.

var Mesh = require('resource-mesh/lib/Mesh')

var mesh = require('./reconnect')(new Mesh(), 100)
var n = 0

mesh.connect({ host: '127.0.0.1', port: Number(process.env.PORT) }, function (error) {
  if (error) throw error
  setInterval(function () {
    mesh.emitter.emit('number', { n: ++n })
  }, process.env.INTERVAL)
})
mesh.emitter.on('ping', function (payload) {
  console.log(JSON.stringify({ event: 'ping', payload: payload }))
})
