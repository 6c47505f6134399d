'use strict'

// The client of the resource example, with the original's library.

const Mesh = require('resource-mesh/lib/Mesh')
const mesh = require('../../interop/node/reconnect')(new Mesh(), 500)

mesh.connect({ host: 'localhost', port: Number(process.env.PORT || 7777) }, function (error) {
  if (error) throw error
  console.log('connected')
  setInterval(() => mesh.emitter.emit('creature::talk', { text: 'Hi from Node.js!' }), 2000)
})
