// The star as a picture: the hub in the middle, the others left and right of it, each in a row of its own, so that no
// label lies on another.

import { $, paced, say, visible } from './dom.js'
import { kind, session } from './nodes.js'
import { matches } from './names.js'

const GLOW = 700 // milliseconds for which an edge is lit
const BATCH = 50 // events of different kinds that are looked at between two pictures
const LOOK = 5 // milliseconds for that

export function drawStar (nodes) {
  const svg = $('star').querySelector('svg')
  const edges = new Map() // by node: its line, and when the light goes out
  let passing = new Map() // events since the last picture
  const soon = paced(light)
  let width = 0
  let drawn = ''

  nodes.onChange(draw)
  new ResizeObserver(([box]) => {
    if (width === Math.floor(box.contentRect.width)) return
    width = Math.floor(box.contentRect.width)
    draw()
  }).observe($('star'))

  return {
    // pass lights the edges that an event takes: from its sender, and to those that listen to it.
    pass (event, from) {
      if (passing.size < BATCH) passing.set(from + ' ' + event, { event, from })
      soon()
    }
  }

  function draw () {
    if (!width) return
    const all = nodes.shown
    const hub = all.find(n => n.role === 'hub')
    const others = all.filter(n => n.role !== 'hub')
    const wide = width >= 480
    const shown = others.slice(0, wide ? 64 : 24)
    const now = JSON.stringify([width, hub && hub.name, shown.map(n => [n.id, n.name, kind(n), session(n), n.muted])])
    describe(hub, others, shown)
    if (now === drawn) return
    drawn = now

    const perSide = Math.ceil(shown.length / 2)
    const row = perSide > 12 && wide ? 22 : Math.min(64, Math.max(40, (wide ? 320 : 200) / (perSide + 1)))
    const height = Math.max(wide ? 240 : 160, (perSide + 1) * row)
    const middle = { x: width / 2, y: height / 2 }
    const twoLines = row >= 40
    const reach = Math.min(width / 2 - (!wide ? 110 : twoLines ? 160 : 210), 150) // the rest is for the labels
    svg.setAttribute('viewBox', `0 0 ${width} ${height}`)
    svg.setAttribute('height', height)
    edges.clear()
    const lines = make('g', {})
    const dots = make('g', {})
    shown.forEach((n, i) => {
      const right = i % 2 === 1
      const rank = Math.floor(i / 2)
      const onSide = right ? Math.floor(shown.length / 2) : perSide
      const y = middle.y + (rank - (onSide - 1) / 2) * row
      const bend = onSide > 1 ? (y - middle.y) / ((onSide + 1) / 2 * row) : 0
      const x = middle.x + (right ? 1 : -1) * Math.max(36, reach * Math.sqrt(1 - bend * bend))
      const line = make('line', { x1: middle.x, y1: middle.y, x2: x, y2: y, class: n.muted ? 'edge muted' : 'edge' })
      lines.append(line)
      edges.set(n.id, { line, timer: 0 })
      dots.append(dot(n, x, y), label(n, x, y, right, twoLines, wide))
    })
    const centre = hub ? [dot(hub, middle.x, middle.y), caption(hub, middle)] : []
    svg.replaceChildren(lines, dots, ...centre)
  }

  function dot (n, x, y) {
    const what = nodes.isSelf(n.id) ? 'self' : n.role === 'hub' ? 'hub' : n.browser ? 'browser' : n.negotiated ? 'ours' : 'original'
    const shape = what === 'hub'
      ? make('circle', { cx: x, cy: y, r: 15, class: 'dot hub' })
      : n.browser
        ? make('rect', { x: x - 8, y: y - 6, width: 16, height: 12, rx: 2, class: 'dot ' + what })
        : n.negotiated
          ? make('circle', { cx: x, cy: y, r: 7, class: 'dot ' + what })
          : make('path', { d: `M${x} ${y - 8}L${x + 8} ${y}L${x} ${y + 8}L${x - 8} ${y}Z`, class: 'dot ' + what })
    const title = make('title', {})
    title.textContent = visible(`${nodes.title(n.id)}: ${kind(n)}, ${session(n)}`, 200)
    shape.append(title)
    return shape
  }

  // label writes a node's name and how it is connected: in two lines, or in one if there are many.
  function label (n, x, y, right, twoLines, wide) {
    const room = (right ? width - x : x) - 16
    const at = { x: x + (right ? 14 : -14), 'text-anchor': right ? 'start' : 'end' }
    const name = visible(nodes.title(n.id), 100)
    const how = n.transport ? (wide ? short(n) + ', ' : '') + `${n.transport} ${n.revision}` : n.heard ? 'heard from' : ''
    const g = make('g', { class: 'label' })
    if (twoLines) {
      g.append(text(fit(name, room / 7.6), { ...at, y: y - 2 }), text(fit(how, room / 6.4), { ...at, y: y + 12, class: 'how' }))
    } else {
      const rest = (room - 10 - how.length * 6.4) / 7.6
      const line = text(fit(name, rest > 8 ? rest : room / 7.6), { ...at, y: y + 4 })
      if (rest > 8) {
        const span = make('tspan', { class: 'how', dx: 6 })
        span.textContent = how
        line.append(span)
      }
      g.append(line)
    }
    return g
  }

  function caption (n, { x, y }) {
    return text(fit(visible(n.name || 'hub', 100), 14), { x, y: y + 32, 'text-anchor': 'middle', class: 'caption' })
  }

  function describe (hub, others, shown) {
    const left = nodes.total - shown.length - (hub ? 1 : 0)
    svg.setAttribute('aria-label', `The star: a hub and ${others.length} ${others.length === 1 ? 'node' : 'nodes'}, which are listed below`)
    const text = 'Circle: node. Square: browser. Diamond: node of the original mesh, or another Engine.IO client. The number is the revision of Engine.IO. A line is orange while events come from a node, and blue while they go to one.'
    say($('legend'), text + (left > 0 ? ` ${left} more are in the list only.` : ''))
  }

  function light () {
    const lit = new Map()
    const until = performance.now() + LOOK // patterns are the nodes' own, and some take long
    for (const { event, from } of passing.values()) {
      for (const n of nodes.shown) {
        if (performance.now() > until) break
        if (n.id !== from && edges.has(n.id) && !lit.has(n.id) && n.interests.some(p => matches(String(p), event))) lit.set(n.id, 'out')
      }
      lit.set(from, 'in')
    }
    passing = new Map()
    for (const [id, way] of lit) {
      const edge = edges.get(id)
      if (!edge) continue
      edge.line.classList.remove('in', 'out')
      edge.line.classList.add(way)
      clearTimeout(edge.timer)
      edge.timer = setTimeout(() => edge.line.classList.remove('in', 'out'), GLOW)
    }
  }
}

function make (name, attributes) {
  const e = document.createElementNS('http://www.w3.org/2000/svg', name)
  for (const key in attributes) e.setAttribute(key, attributes[key])
  return e
}

function text (content, attributes) {
  const e = make('text', attributes)
  e.textContent = content
  return e
}

const short = n => n.browser ? 'browser' : n.negotiated ? 'node' : n.revision === 3 ? 'original' : 'client'

const fit = (s, n) => s.length > n ? s.slice(0, Math.max(1, Math.floor(n) - 1)) + '…' : s
