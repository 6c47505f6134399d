'use strict'

// The client of the authorization example, with the original's library.

const Mesh = require('resource-mesh/lib/Mesh')
const mesh = require('../../interop/node/reconnect')(new Mesh(), 500)

const hub = { host: 'localhost', port: Number(process.env.PORT || 7777), user: 'marak', password: 'password' }

mesh.connect(hub, function (error) {
  if (error) throw error
  console.log('connected')

  for (const name of ['server-foo', 'server-echo-client-foo']) {
    mesh.emitter.on(name, data => console.log('got', name, 'event', JSON.stringify(data)))
  }

  setInterval(() => mesh.emitter.emit('client-foo', { bar: 'foo' }), 2000)
})
