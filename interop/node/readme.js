'use strict'

// A node of a mesh, written with the original's library: it prints each myEvent that it hears, and emits one a second.
// The first program at the port becomes the hub, whatever language it is in, and the others connect to it.

var net = require('net')
var Mesh = require('resource-mesh/lib/Mesh')

var mesh = new Mesh()
var hub = { host: 'localhost', port: Number(process.env.PORT || 8888) }

// The library's own start ends the process if the port is taken. So look first, then listen or connect.
var probe = net.connect(hub)
probe.on('error', function () {
  mesh.listen(hub, run)
})
probe.on('connect', function () {
  probe.destroy()
  mesh.connect(hub, run)
})

function run (error) {
  if (error) throw error
  mesh.emitter.on('myEvent', function (payload) {
    console.log(JSON.stringify({ event: 'myEvent', payload: payload }))
  })
  setInterval(function () {
    mesh.emitter.emit('myEvent', { n: 1 })
  }, process.env.INTERVAL || 1000)
}
