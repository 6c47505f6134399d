'use strict'

// A node of the mesh example, with the original's library: the hub if the port is free, otherwise a client of the hub.

const net = require('net')
const Mesh = require('resource-mesh/lib/Mesh')
const mesh = require('../../interop/node/reconnect')(new Mesh(), 500)

const hub = { host: 'localhost', port: Number(process.env.PORT || 7777) }

// The library's own start ends the process if the port is taken. So look first, then listen or connect.
const probe = net.connect(hub)
probe.on('error', () => mesh.listen(hub, error => run(error, 'hub')))
probe.on('connect', function () {
  probe.destroy()
  mesh.connect(hub, error => run(error, 'client'))
})

function run (error, role) {
  if (error) throw error
  console.log(process.pid + ' is a ' + role)
  mesh.emitter.on('customEvent', data => console.log(process.pid + ' - mesh customEvent - ' + data.pid))
  setInterval(() => mesh.emitter.emit('customEvent', { pid: process.pid }), 1000)
}
