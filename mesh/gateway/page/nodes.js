// Who is in the mesh, as the hub tells. A hub of the original mesh tells nothing: there it is who was heard.

import { $, paced, say, visible } from './dom.js'

const MOST = 256 // nodes that the page knows
const AGAIN = 5000 // milliseconds: transports and interests change without a word
const PATIENCE = 5000 // milliseconds for an answer

export function followNodes (client) {
  const watchers = []
  const changed = paced(() => { for (const fn of watchers) fn() })
  let all = new Map() // by ID, the hub first
  let fresh // the pages of an answer so far
  let rid = 0
  let asked = 0 // from where on, in the last question
  let watch = true
  let total = 0
  let again, deadline, hub

  const self = {
    onChange: fn => watchers.push(fn),
    // shown are the nodes; the last ones may be missing.
    get shown () { return [...all.values()] },
    get total () { return Math.max(total, all.size) },
    get: id => all.get(id),
    isSelf: id => id === client.id,
    // title is what people know a node by.
    title (id) {
      const n = all.get(id)
      if (id === client.id) return 'this page'
      if (n && n.name) return n.name
      if (hub && id === hub.id) return String(hub.name) || 'the hub'
      if (!id || (n && n.role === 'hub')) return 'the hub'
      return id.slice(0, 8)
    },
    // mark tells nodes of one name apart, and those whose name is another's: names are their own choice.
    mark (id) {
      const n = all.get(id)
      return n && n.name && n.role !== 'hub' && id !== client.id ? ' ' + visible(id.slice(0, 8)) : ''
    },
    // heard is told of each event's sender.
    heard (id) {
      if (!hub || !hub.node || !id || all.has(id) || all.size >= 64) return
      all.set(id, { id, role: 'client', heard: true, interests: [] })
      changed()
    }
  }

  client.on('$mesh.nodes', answer)
  client.on('$mesh.join', node => take(node) && change(m => m.size < MOST && m.set(node.id, node), 1))
  client.on('$mesh.leave', node => take(node) && change(m => m.delete(node.id), -1))
  client.onState(state => {
    if (!hub && !state.hub) return
    if (hub === state.hub) { // the page's own transport is another
      if (hub.node) all.get(client.id).transport = state.transport
      changed()
      return soon(200)
    }
    hub = state.hub
    clearTimeout(again)
    clearTimeout(deadline)
    fresh = null
    watch = true
    if (!hub) return lost()
    if (hub.node) {
      all = new Map([['', { id: '', role: 'hub', interests: [], node: true }], [client.id, page(state.transport)]])
      total = 0
      say($('nodes-text'), 'A hub of the original mesh does not tell who is there. These are the nodes whose events the page has heard.')
      return changed()
    }
    ask()
  })
  lost()
  document.addEventListener('visibilitychange', () => document.hidden || soon(0))
  return self

  function lost () {
    say($('nodes-text'), all.size ? 'Not connected: this is how it was.' : 'Not connected: nobody is known yet.')
  }

  function page (transport) {
    return { id: client.id, role: 'client', name: 'page', browser: true, negotiated: true, transport, revision: 3, interests: [] }
  }

  function ask (after) {
    clearTimeout(again)
    asked = after || 0
    try {
      client.emit('$mesh.nodes', { rid: ++rid, after, watch: after ? undefined : watch })
      clearTimeout(deadline)
      deadline = setTimeout(() => fail('the hub does not answer'), PATIENCE)
    } catch (error) {} // there is no hub: the next one is asked
  }

  function answer (a) {
    if (!a || a.rid !== rid) return
    clearTimeout(deadline)
    if (a.error === 'too-many-watchers' && watch) {
      watch = false
      return ask()
    }
    if (a.error) return fail(String(a.message))
    if (!fresh) fresh = new Map()
    for (const node of Array.isArray(a.nodes) ? a.nodes : []) if (take(node)) fresh.set(node.id, node)
    if (a.next > asked && fresh.size < MOST) return ask(a.next)
    all = fresh
    fresh = null
    total = Number(a.total) || 0
    say($('nodes-text'), watch ? '' : 'Too many nodes watch this hub already: the page asks it from time to time.')
    changed()
    soon(AGAIN)
  }

  function fail (why) {
    clearTimeout(deadline)
    fresh = null
    say($('nodes-text'), 'The hub does not tell who is there: ' + why.slice(0, 200) + '.')
    soon(AGAIN)
  }

  function soon (delay) {
    clearTimeout(again)
    if (hub && !hub.node) again = setTimeout(() => document.hidden || ask(), delay)
  }

  function change (apply, n) {
    apply(all)
    if (fresh) apply(fresh)
    total += n
    changed()
    soon(1000) // by then it has found its transport
  }
}

// take returns a node if it is one.
function take (node) {
  if (!node || typeof node.id !== 'string') return null
  if (!Array.isArray(node.interests)) node.interests = []
  if (typeof node.name !== 'string') node.name = ''
  return node
}

// kind says in words what a node is.
export function kind (node) {
  if (node.role === 'hub') return node.node ? 'hub of the original mesh' : 'hub'
  if (node.browser) return 'browser'
  if (node.heard) return 'heard from'
  if (node.negotiated) return 'node'
  return node.revision === 3 ? 'node of the original mesh' : 'Engine.IO client'
}

// session says how a node is connected.
export function session (node) {
  return node.transport ? `${node.transport}, revision ${node.revision}` : ''
}
