// TestModuleOutsideBrowsers runs this file with node --test, beside a copy of /mesh.mjs. HUB is the URL of a hub. DEAD is
// a URL where no server listens. SILENT is a URL where a server accepts connections and never responds. Each test must
// leave nothing that keeps the process alive.

import test from 'node:test'
import assert from 'node:assert'
import http from 'node:http'
import { once } from 'node:events'
import { connect } from './mesh.mjs'

const { HUB, DEAD, SILENT } = process.env
const native = typeof WebSocket === 'function'

// reach waits until a node's state matches.
const reach = (node, fits) => new Promise(resolve => {
  const look = state => fits(state) && resolve(state)
  node.onState(look)
  look(node.state)
})
const connected = node => reach(node, state => state.status === 'connected')

// exchange makes a pair of nodes emit to each other.
async function exchange (options) {
  const [a, b] = [connect({ url: HUB, ...options }), connect({ url: HUB, ...options })]
  const heard = new Promise(resolve => b.once('question', payload => b.emit('answer', payload + 1)) && a.once('answer', resolve))
  await Promise.all([connected(a), connected(b)])
  await ask(b) // then the hub has its table
  a.emit('question', 41)
  assert.equal(await heard, 42)
  const { transport } = a.state
  a.close()
  b.close()
  return transport
}

test('events cross', async () => {
  assert.notEqual(await exchange({}), '')
  assert.equal(await exchange({ transports: ['polling'] }), 'polling')
})

// ask asks the hub a question. The hub replies when it has processed all that the node sent before.
const ask = node => new Promise(resolve => node.once('$mesh.nodes', resolve).emit('$mesh.nodes', { rid: 1, limit: 1 }))

// Before a hub admits a node it reads little, so the first packet has an empty table. The hub's table has limits, so a
// node with too many names asks for all events.
test('a large table follows the hello', async () => {
  for (const [names, table] of [[700, /"mesh::late-699::x+":/], [5000, /"eventTable":{"mesh::\*\*":{}}/]]) {
    const a = connect({ url: HUB })
    await connected(a)
    const { fetch } = globalThis
    const posts = []
    globalThis.fetch = (url, options) => {
      if (options.method === 'POST') posts.push(options.body)
      return fetch(url, options)
    }
    const b = connect({ url: HUB, transports: ['polling'] })
    const heard = []
    for (let i = 0; i < names; i++) b.on(`late-${i}::${'x'.repeat(50)}`, payload => heard.push(payload))
    const last = new Promise(resolve => b.on('last', resolve))
    const answer = new Promise(resolve => b.on('$mesh.nodes', resolve)) // a listener that came later would send the table again
    await connected(b)
    b.emit('$mesh.nodes', { rid: 1, limit: 1 })
    await answer
    globalThis.fetch = fetch
    const tables = posts.join('').match(/"eventTable":{.*?}}?,"headers"/g)
    assert.equal(tables.length, 2)
    assert.equal(tables[0], '"eventTable":{},"headers"')
    assert.match(tables[1], table)
    for (const name of [`late-0::${'x'.repeat(50)}`, `late-${names}::${'x'.repeat(50)}`, `late-${names - 1}::${'x'.repeat(50)}`, 'last']) a.emit(name, name)
    await last
    assert.deepEqual(heard, [`late-0::${'x'.repeat(50)}`, `late-${names - 1}::${'x'.repeat(50)}`])
    a.close()
    b.close()
  }
})

// The hub does not permit the event "forbidden". It rejects a table whose patterns cost too many steps.
test('rejected events and tables are on the console', async () => {
  const { warn } = console
  const lines = []
  console.warn = line => lines.push(line)
  try {
    const node = connect({ url: HUB })
    await connected(node)
    const reports = []
    const both = new Promise(resolve => node.on('$mesh.refused', ({ rule }) => reports.push(rule) === 2 && resolve()))
    for (let i = 0; i < 3; i++) node.emit('forbidden', i)
    for (let i = 0; i < 400; i++) node.on(`**::a${i % 20}::**::b${Math.floor(i / 20)}`, () => {})
    await both
    node.close()
    // The client sends its table before events that wait, for example for the end of an upgrade.
    assert.deepEqual(reports.sort(), ['bad-table', 'may-not-emit'])
    lines.sort()
    assert.match(lines[0], /^mesh: the hub rejects forbidden: may-not-emit \(1 times\)$/)
    assert.match(lines[1], /^mesh: the hub rejects listeners: .*steps/)
  } finally {
    console.warn = warn
  }
})

test('a rule is on the console once a second', async () => {
  const { warn } = console
  const lines = []
  let time = 1e6
  console.warn = line => lines.push(line)
  Object.defineProperty(performance, 'now', { value: () => time, configurable: true })
  try {
    const node = connect({ url: HUB })
    await connected(node)
    for (time of [1e6, 1e6 + 500, 1e6 + 999, 1e6 + 1000]) {
      const refused = new Promise(resolve => node.once('$mesh.refused', resolve))
      for (let i = 0; i < 400; i++) node.on(`**::${time}-a${i % 20}::**::b${Math.floor(i / 20)}`, () => {})
      assert.equal((await refused).rule, 'bad-table')
    }
    node.close()
    assert.equal(lines.length, 2)
  } finally {
    console.warn = warn
    delete performance.now
  }
})

test('a WebSocket is used where there is one', async () => {
  if (!native) return assert.throws(() => connect({ url: HUB, transports: ['websocket'] }), { code: 'transport', message: /no WebSocket/ })
  assert.equal(await exchange({ transports: ['websocket'] }), 'websocket')
  const node = connect({ url: HUB })
  await reach(node, state => state.transport === 'websocket')
  node.close()
})

test('a redirect is followed to the same host, and named otherwise', async () => {
  const server = http.createServer((q, r) => r.writeHead(301, { location: to + q.url }).end()).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = 'http://127.0.0.1:' + server.address().port
  let to = HUB
  assert.equal(await exchange({ url, transports: ['polling'] }), 'polling')
  if (native) {
    const node = connect({ url })
    await reach(node, state => state.transport === 'websocket')
    node.close()
  }
  to = HUB.replace('127.0.0.1', 'localhost')
  const node = connect({ url })
  const { error } = await reach(node, state => state.error)
  assert.equal(error.message, 'mesh: the hub redirects to ' + to + '/engine.io/')
  node.close()
  server.close()
})

test('IDs differ', async () => {
  const nodes = [connect({ url: HUB }), connect({ url: HUB })]
  await Promise.all(nodes.map(connected))
  for (const node of nodes) assert.match(node.id, /^[0-9a-f]{32}$/)
  assert.notEqual(nodes[0].id, nodes[1].id)
  for (const node of nodes) node.close()
})

test('a WebSocket that reports its end only as an error', async () => {
  const real = globalThis.WebSocket
  globalThis.WebSocket = class {
    constructor () { setTimeout(() => this.onerror && this.onerror({ type: 'error' })) }
    close () {}
  }
  try {
    const node = connect({ url: HUB, transports: ['websocket'] })
    const { error } = await reach(node, state => state.retry !== null)
    assert.match(error.message, /WebSocket closed/)
    node.close()
    assert.equal(await exchange({}), 'polling')
  } finally {
    globalThis.WebSocket = real
  }
})

test('closed at each stage', async () => {
  connect({ url: HUB }).close()
  const opening = connect({ url: HUB })
  await Promise.resolve()
  opening.close()
  const upgrading = connect({ url: HUB })
  await connected(upgrading)
  upgrading.close()
  for (const url of [DEAD, SILENT]) {
    const node = connect({ url })
    if (url === DEAD) await reach(node, state => state.retry !== null)
    else await new Promise(resolve => setTimeout(resolve, 50)) // the request is on its way: there is no event for it
    node.emit('waits', 1)
    node.close()
    assert.equal(node.state.status, 'disconnected')
  }
})

// By polling: Node.js ends its own WebSocket only when the connection has ended.
test('closed when the hub has fallen silent', async () => {
  const node = connect({ url: process.env.CUT, transports: ['polling'] }) // CUT is a proxy to the hub
  await connected(node)
  await fetch(process.env.CUT_IT)
  node.emit('waits', 1)
  node.close()
})
