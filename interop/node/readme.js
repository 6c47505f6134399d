'use strict'

// A node of a mesh, written with the original's library: it prints each myEvent that it hears, and emits one a second.
// The first program at the port becomes the hub, whatever language it is in, and the others connect to it.

const net = require('net')
const Mesh = require('resource-mesh/lib/Mesh')

const mesh = new Mesh()
const hub = { host: 'localhost', port: Number(process.env.PORT || 8888) }

// The library's own start ends the process if the port is taken. So look first, then listen or connect.
const probe = net.connect(hub)
probe.on('error', () => mesh.listen(hub, run))
probe.on('connect', () => {
  probe.destroy()
  mesh.connect(hub, run)
})

function run (error) {
  if (error) throw error
  mesh.emitter.on('myEvent', payload => console.log(JSON.stringify({ event: 'myEvent', payload })))
  setInterval(() => mesh.emitter.emit('myEvent', { n: 1 }), process.env.INTERVAL || 1000)
}
