'use strict'

// Nodes of a mesh in a page of browser.js, one for each id, with the browser bundle of the original's package.
//
//   connect {host, port, name}  subscribes to name too; response: connected or refused, from connect's callback
//   emit {name, payload}        response: emitted
//   burst {burst, name}         {prefix, count}: emits {text}, some before and some after the upgrade
//
// Events: heard {name, payload}.

/* global mesh, report, serve */

const emitters = new Map() // by id

serve({
  connect ({ id, host, port, name }) {
    mesh.connect({ host, port: String(port) }, function (error) {
      report({ id, event: error ? 'refused' : 'connected', error: error && String(error.message || error) })
    })
    emitters.set(id, mesh.emitter) // connect makes a new emitter
    mesh.emitter.on(name, payload => report({ id, event: 'heard', name, payload }))
  },

  emit ({ id, name, payload }) {
    emitters.get(id).emit(name, payload)
    report({ id, event: 'emitted', name })
  },

  burst ({ id, name, burst: { prefix, count } }) {
    let next = 0
    const timer = setInterval(function () {
      for (let n = 0; n < count / 100 && next < count; n++) emitters.get(id).emit(name, { text: prefix + '-' + next++ })
      if (next < count) return
      clearInterval(timer)
      report({ id, event: 'emitted', name })
    }, 2)
  }
})
