'use strict'

// The client of the basic example, with the original's library.

const Mesh = require('resource-mesh/lib/Mesh')
const mesh = require('../../interop/node/reconnect')(new Mesh(), 500)

mesh.connect({ host: 'localhost', port: Number(process.env.PORT || 7777) }, function (error) {
  if (error) throw error
  console.log('connected')

  for (const name of ['server-foo', 'server-echo-client-foo']) {
    mesh.emitter.on(name, data => console.log('got', name, 'event', JSON.stringify(data)))
  }

  setInterval(() => mesh.emitter.emit('client-foo'), 2000)
})
