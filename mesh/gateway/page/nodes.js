// The nodes of the mesh, as the hub reports them. A hub of the original mesh reports none: there, the nodes are the
// senders of events.

import { asker } from './ask.js'
import { $, paced, say, visible } from './dom.js'

const MOST = 256 // the number of nodes that the page stores
const AGAIN = 5000 // milliseconds between two requests: the hub does not announce changes of transports and interests
const PATIENCE = 5000 // milliseconds to wait for a response
const DRAWN = 64 // the number of clients with a place in the picture
const KNOWN = 1000 // the number of further nodes from look-ups
const ROUNDS = 64 // the maximum number of responses in one search

export function followNodes (client) {
  const watchers = []
  const changed = paced(() => {
    several = self.stars.length > 1
    for (const fn of watchers) fn()
  })
  let all = new Map() // by ID, the page's own hub first
  let fresh // the pages of the current response so far
  let rid = 0
  let asked = 0 // the start of the page that the last request asked for
  let watch = true
  let total = 0
  let again, deadline, hub
  let home = {} // the last connected hub
  let several = false // whether there are several hubs
  const question = asker(client)
  const known = new Map() // nodes from look-ups, by ID
  let groups = [] // of similar nodes, at all hubs
  let grouping // the timer that allows the next request about groups

  const self = {
    onChange: fn => watchers.push(fn),
    // stars holds the hubs, the page's own first, each with its clients. The last clients may be missing.
    get stars () {
      const stars = new Map()
      const star = hub => stars.set(hub.id, { hub, clients: [] })
      for (const n of all.values()) if (n.role === 'hub') star(n)
      for (const n of all.values()) {
        if (n.role === 'hub') continue
        if (!stars.has(n.hub)) star({ id: n.hub, role: 'hub', name: '', interests: [] }) // the page will learn about this hub
        const { clients } = stars.get(n.hub)
        if (n.id === client.id) clients.unshift(n)
        else clients.push(n)
      }
      return [...stars.values()]
    },
    // shown holds the same nodes in one list.
    get shown () { return self.stars.flatMap(({ hub, clients }) => [hub, ...clients]) },
    get total () { return Math.max(total, all.size) },
    // large reports whether there are more nodes than the picture has places. The page then shows groups.
    get large () { return self.total - self.stars.length > DRAWN },
    get groups () { return groups },
    get: id => all.get(id) || known.get(id),
    find,
    lookUp,
    isSelf: id => id === client.id,
    // hubOf returns the ID of a node's hub. A hub is its own hub.
    hubOf (id) {
      const n = self.get(id)
      return n && (n.role === 'hub' ? id : n.hub)
    },
    // at names a client's hub, if there are several hubs.
    at: n => several && n.role !== 'hub' ? 'at ' + self.title(n.hub) : '',
    // title returns the name of a node for people.
    title (id) {
      const n = self.get(id)
      if (id === client.id) return 'this page'
      if (n && n.name) return n.name
      if (!id || id === home.id) return String(home.name || '') || 'the hub'
      return (n && n.role === 'hub' ? 'hub ' : '') + id.slice(0, 8)
    },
    // mark distinguishes nodes with the same name, because nodes choose their names.
    mark (id) {
      const n = self.get(id)
      return n && n.name && n.role !== 'hub' && id !== client.id ? ' ' + visible(id.slice(0, 8)) : ''
    },
    // heard records the sender of an event. It is called for each event.
    heard (id) {
      if (!hub || !hub.node || !id || all.has(id) || all.size >= 64) return
      all.set(id, { id, role: 'client', heard: true, hub: '', interests: [] })
      changed()
    }
  }

  client.on('$mesh.nodes', answer)
  client.on('$mesh.join', node => valid(node) && change(join, node))
  client.on('$mesh.leave', node => {
    if (!valid(node)) return
    known.delete(node.id)
    change(leave, node)
  })
  client.onState(state => {
    if (!hub && !state.hub) return
    if (hub === state.hub) { // the page's own transport has changed
      if (hub.node) all.get(client.id).transport = state.transport
      changed()
      return soon(200)
    }
    hub = state.hub
    home = hub || home
    clearTimeout(again)
    clearTimeout(deadline)
    fresh = null
    watch = true
    if (!hub) return lost()
    if (hub.node) {
      all = new Map([['', { id: '', role: 'hub', interests: [], node: true }], [client.id, page(state.transport)]])
      total = 0
      say($('nodes-text'), 'A hub of the original mesh does not list its nodes. These are the nodes whose events the page has received.')
      return changed()
    }
    ask()
  })
  lost()
  document.addEventListener('visibilitychange', () => document.hidden || soon(0))
  return self

  function lost () {
    say($('nodes-text'), all.size ? 'Not connected: these nodes were there before.' : 'Not connected: no nodes are known yet.')
  }

  function page (transport) {
    return { id: client.id, role: 'client', hub: '', name: 'page', browser: true, negotiated: true, transport, revision: 3, interests: [] }
  }

  function ask (after) {
    clearTimeout(again)
    if (!after) fresh = null
    asked = after || 0
    try {
      client.emit('$mesh.nodes', { rid: ++rid, after, watch: after ? undefined : watch })
      clearTimeout(deadline)
      deadline = setTimeout(() => fail('the hub does not answer'), PATIENCE)
    } catch (error) {} // there is no connected hub: the page will ask the next one
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
    // If a node has moved, the first hub to report it is its new hub. If a node is a hub, other hubs report it before
    // it reports itself.
    for (const node of list(a.nodes)) if (valid(node) && (node.role === 'hub' || !fresh.has(node.id))) fresh.set(node.id, node)
    for (const node of list(a.hubs).slice(0, MOST)) if (valid(node)) fresh.set(node.id, node)
    if (a.next > asked && fresh.size < MOST) return ask(a.next)
    all = fresh
    fresh = null
    total = a.next ? Number(a.total) || 0 : all.size
    say($('nodes-text'), watch ? '' : 'Too many nodes watch this hub already: the page asks it from time to time.')
    changed()
    group()
    soon(AGAIN)
  }

  // find resolves to the nodes whose name contains a text or whose ID begins with it. Nodes with exactly this name or
  // ID come first.
  async function find (text, most) {
    const wanted = text.toLowerCase()
    const fits = n => n.id.startsWith(wanted) || n.name.toLowerCase().includes(wanted) || self.title(n.id).toLowerCase().includes(wanted)
    const equal = new Map()
    const found = new Map()
    if (wanted && hub && hub.node) for (const n of self.shown) if (fits(n)) found.set(n.id, n)
    if (!wanted || (hub && hub.node)) return [...found.values()]
    await Promise.all([search(text, true, most, n => fits(n) && equal.set(n.id, n)), search(text, undefined, most, n => fits(n) && found.set(n.id, n))])
    return [...new Map([...equal, ...found]).values()]
  }

  // search calls take with the nodes that the hubs find, until take has accepted most of them.
  async function search (text, exact, most, take) {
    let after = 0
    for (let i = 0, got = 0; i < ROUNDS && got < most; i++) {
      const a = await question({ find: text, exact, limit: most, after: after || undefined })
      for (const n of list(a.nodes)) if (valid(n) && take(n)) {
        got++
        remember(n)
      }
      if (!(a.next > after)) break
      after = a.next
    }
  }

  // lookUp asks the hub about the nodes that the page does not know.
  async function lookUp (ids) {
    for (const id of ids) {
      if (!hub || hub.node || self.get(id)) continue
      known.set(id, { id, name: '', role: 'client', hub: '', interests: [] }) // ask only once
      try {
        await search(id, true, 1, n => n.id === id)
      } catch (error) {
        known.delete(id)
        return
      }
    }
    changed()
  }

  function remember (node) {
    known.delete(node.id)
    known.set(node.id, node)
    if (known.size > KNOWN) known.delete(known.keys().next().value)
    return node
  }

  // group asks each hub for its groups, while there are too many nodes to show each of them.
  async function group () {
    if (!self.large || grouping || !hub || hub.node) return
    grouping = setTimeout(() => { grouping = null }, 2 * AGAIN)
    try {
      const all = []
      for (let after = 0, i = 0; i < ROUNDS; i++) {
        const a = await question({ groups: true, limit: 1, after: after || undefined })
        for (const g of list(a.groups)) if (g && typeof g.id === 'string' && g.count > 0) all.push({ ...valid({ ...g }), count: Number(g.count) })
        if (a.ungrouped > 0) all.push({ id: '', hub: '', name: '', interests: [], count: Number(a.ungrouped), rest: true })
        if (!(a.next > after)) break
        after = a.next
      }
      groups = all
      changed()
    } catch (error) {} // the next request may succeed
  }

  function fail (why) {
    clearTimeout(deadline)
    fresh = null
    say($('nodes-text'), 'The hub does not list its nodes: ' + why.slice(0, 200) + '.')
    soon(AGAIN)
  }

  function soon (delay) {
    clearTimeout(again)
    if (hub && !hub.node) again = setTimeout(() => document.hidden || ask(), delay)
  }

  function change (apply, node) {
    total += apply(all, node)
    if (fresh) apply(fresh, node)
    changed()
    soon(1000) // by then the node has its final transport
  }

  // valid returns node with valid fields, or null if it is not a node.
  function valid (node) {
    if (!node || typeof node.id !== 'string') return null
    if (!Array.isArray(node.interests)) node.interests = []
    if (typeof node.name !== 'string') node.name = ''
    if (typeof node.hub !== 'string') node.hub = home.id
    return node
  }
}

// join adds a node to all, and returns the change of the number of nodes.
function join (all, node) {
  const known = all.has(node.id)
  if (known || all.size < MOST) all.set(node.id, node)
  return known ? 0 : 1
}

// leave removes a node, and with a hub also all of its clients. If a node has moved, it has already joined at its new
// hub, so leave does not remove it. leave returns the change of the number of nodes.
function leave (all, { id, role, hub }) {
  const before = all.size
  if (role === 'hub') {
    for (const n of all.values()) if (n.id === id || n.hub === id) all.delete(n.id)
    return all.size - before
  }
  if (all.has(id) && all.get(id).hub !== hub) return 0
  all.delete(id)
  return -1
}

// kind describes the kind of a node in words.
export function kind (node) {
  if (node.role === 'hub') return node.node ? 'hub of the original mesh' : 'hub'
  if (node.browser) return 'browser'
  if (node.heard) return 'heard from'
  if (node.negotiated) return 'node'
  return node.revision === 3 ? 'node of the original mesh' : 'Engine.IO client'
}

// session describes a node's session.
export function session (node) {
  return node.transport ? `${node.transport}, revision ${node.revision}` : ''
}

const list = value => Array.isArray(value) ? value : []
