'use strict'

// Nodes of a mesh in a page of browser.js, one for each id.
//
//   load {url}                      loads the client: a script, or a module if the url ends with .mjs. Response: loaded
//   connect {options, name, burst}  with the client's options; burst {prefix, count}: emitted at once as name with {text}
//   on, off, emit                   as in mesh-node.js; on may come before connect
//   run {text}                      runs the body of a function with client and, for a script, the global mesh. Response:
//                                   ran {result}, or ran {error, reason}, where reason is the error's code
//   frame {url}                     shows another page inside this one
//
// Events: answered {result} or refused {error, reason}, from connect's callback; connected {transport, result} and
// disconnected {error, reason, result}, where result is the state; upgrade {sent}, when the transport is a WebSocket, with
// the number of the burst's events so far; heard {name, payload, from}.

/* global burst, report, serve */

const nodes = new Map()
let loading = Promise.resolve() // one after the other: each script sets the same global

serve({
  load ({ id, url }) {
    loading = loading.then(async function () {
      const node = { early: [], listeners: new Map() }
      nodes.set(id, node)
      if (url.endsWith('.mjs')) {
        node.connect = (await import(url)).connect
      } else {
        await new Promise(function (resolve, reject) {
          const script = document.createElement('script')
          Object.assign(script, { src: url, crossOrigin: 'anonymous', onload: resolve, onerror: reject })
          document.head.append(script)
        })
        node.global = window.mesh
        node.client = window.mesh.emitter
      }
      report({ id, event: 'loaded' })
    })
  },

  connect ({ id, options, name, burst: wanted }) {
    const node = nodes.get(id)
    let sent = 0
    let release
    const answer = function (error, result) {
      report(Object.assign({ id, event: error ? 'refused' : 'answered', result }, describe(error)))
    }
    node.client = node.global ? node.global.connect(options, answer) : node.connect(options, answer)
    if (node.watched !== node.client) {
      node.watched = node.client
      node.client.onState(function (state) {
        if (state.status === 'connecting') return
        report(Object.assign({ id, event: state.status, transport: state.transport, result: state }, describe(state.error)))
        if (state.transport !== 'websocket') return
        report({ id, event: 'upgrade', sent })
        if (release) release()
      })
    }
    node.early.forEach(listen => listen())
    // The burst begins at once, because the hub's response may come after the upgrade.
    if (wanted) {
      release = burst(wanted, true, function (text) {
        sent++
        node.client.emit(name, { text })
      })
    }
  },

  on ({ id, name, once }) {
    const node = nodes.get(id)
    const listen = function () {
      const listener = function (payload, event) {
        report({ id, event: 'heard', name: this.event, payload, from: event.from })
      }
      node.listeners.set(name, listener)
      node.client[once ? 'once' : 'on'](name, listener)
    }
    if (node.client) listen()
    else node.early.push(listen)
    report({ id, event: 'listens', name })
  },

  off ({ id, name }) {
    const node = nodes.get(id)
    node.client.off(name, node.listeners.get(name))
  },

  emit ({ id, name, payload }) {
    nodes.get(id).client.emit(name, payload)
    report({ id, event: 'emitted', name })
  },

  async run ({ id, text }) {
    const node = nodes.get(id)
    const body = new Function('client', 'mesh', 'return (async () => {' + text + '})()') // eslint-disable-line no-new-func
    try {
      report({ id, event: 'ran', result: await body(node && node.client, node && node.global) })
    } catch (error) {
      report(Object.assign({ id, event: 'ran' }, describe(error)))
    }
  },

  frame ({ url }) {
    const frame = document.createElement('iframe')
    frame.src = url
    document.body.append(frame)
  }
})

function describe (error) {
  return error ? { error: error.message, reason: error.code } : {}
}
