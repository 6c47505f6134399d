// The mesh as a picture: each hub with its clients on its left and right, each in its own row, so that labels do not
// overlap. The hubs are one below the other, on the line that joins them.

import { $, paced, say, visible } from './dom.js'
import { make, markNodes } from './marks.js'
import { kind, session } from './nodes.js'
import { matches } from './names.js'

const GLOW = 700 // milliseconds for which a line is lit
const BATCH = 50 // the number of different events that are processed between two pictures
const LOOK = 5 // milliseconds for that processing

export function drawStar (nodes, filter) {
  const svg = $('star').querySelector('svg')
  const mark = markNodes(nodes)
  const edges = new Map() // by client: its line, and the timer that ends its light
  let links = [] // the same for the line from each hub to the next one
  let order = [] // the IDs of the hubs
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
    // pass lights the lines of an event: from its sender, from hub to hub, and to its subscribers.
    pass (event, from) {
      if (passing.size < BATCH) passing.set(from + ' ' + event, { event, from })
      soon()
    }
  }

  svg.addEventListener('click', ({ target }) => {
    const mark = target.closest('[data-id]')
    if (mark && mark.dataset.id) filter('from:' + mark.dataset.id)
  })

  function draw () {
    $('star').hidden = $('legend').hidden = nodes.large // see crowd.js
    if (!width || nodes.large) return
    const all = nodes.stars
    const wide = width >= 480
    const stars = share(all.slice(0, wide ? 12 : 6), wide ? 64 : 24)
    const now = JSON.stringify([width, stars.map(({ hub, clients }) => [hub.id, nodes.title(hub.id), clients.map(n => [n.id, n.name, kind(n), session(n), n.muted])])])
    describe(all, stars)
    if (now === drawn) return
    drawn = now

    const rows = stars.map(({ clients }) => Math.ceil(clients.length / 2) + 1)
    const sum = rows.reduce((a, b) => a + b, 0)
    const row = sum > 13 && wide ? 22 : Math.min(64, Math.max(40, (wide ? 320 : 200) / sum))
    const least = wide ? 240 : 160
    const twoLines = row >= 40
    const head = wide && twoLines ? 0 : 15 // if there is no room below a hub, its name is above everything
    const reach = Math.min(width / 2 - (!wide ? 110 : twoLines ? 160 : 210), 150) // the rest is for the labels
    edges.clear()
    order = stars.map(({ hub }) => hub.id)
    const lines = make('g', {})
    const dots = make('g', {})
    const x = width / 2
    let height = 0
    const heights = stars.map(({ hub, clients }, i) => {
      const space = Math.max(least / stars.length, rows[i] * row + head, 72)
      const y = height + (space + head) / 2
      height += space
      clients.forEach((n, i) => {
        const right = i % 2 === 1
        const rank = Math.floor(i / 2)
        const onSide = Math.floor((clients.length + (right ? 0 : 1)) / 2)
        const down = (rank - (onSide - 1) / 2) * row
        const bend = onSide > 1 ? down / ((onSide + 1) / 2 * row) : 0
        const at = [x + (right ? 1 : -1) * Math.max(36, reach * Math.sqrt(1 - bend * bend)), y + down]
        edges.set(n.id, lamp(lines, n.muted ? 'edge muted' : 'edge', [x, y], at))
        dots.append(mark.dot(n, ...at), mark.label(n, ...at, { width, wide, twoLines }))
      })
      const top = y - (rows[i] - 2) / 2 * row - (twoLines ? 18 : 15)
      dots.append(mark.dot(hub, x, y), head ? mark.caption(hub, x, Math.min(top, y - 21), width) : mark.caption(hub, x, y + 32, 112))
      return y
    })
    links = heights.slice(1).map((y, i) => lamp(lines, 'link', [x, heights[i]], [x, y]))
    height = Math.max(height, least)
    svg.setAttribute('viewBox', `0 0 ${width} ${height}`)
    svg.setAttribute('height', height)
    svg.replaceChildren(lines, dots)
  }

  function describe (all, stars) {
    const count = (n, what) => n === 1 ? `1 ${what}` : `${n} ${what}s`
    const clients = stars => stars.reduce((n, star) => n + star.clients.length, 0)
    const complete = nodes.total <= nodes.shown.length
    const each = stars.map(({ hub }, i) => visible(nodes.title(hub.id), 60) + (complete ? ' with ' + count(all[i].clients.length, 'node') : ''))
    svg.setAttribute('aria-label', (all.length > 1
      ? `The mesh: ${all.length} hubs that are joined, ${each.join(', ')}`
      : `The star: a hub and ${count(clients(all), 'node')}`) + ', which are listed below')
    const left = nodes.total - clients(stars) - stars.length
    const text = 'Circle: node. Square: browser. Diamond: node of the original mesh, or another Engine.IO client. The number is the revision of Engine.IO. A line is orange while events come from a node, and blue while they go to one' +
      (all.length > 1 ? ', or from hub to hub.' : '.')
    say($('legend'), text + (left > 0 ? ` ${left} more are in the list only.` : ''))
  }

  function light () {
    const { shown } = nodes
    const lit = new Map()
    const until = performance.now() + LOOK // nodes choose their patterns, and some take long
    for (const { event, from } of passing.values()) {
      for (const n of shown) {
        if (performance.now() > until) break
        if (n.id === from || !edges.has(n.id) || !n.interests.some(p => matches(String(p), event))) continue
        if (!lit.has(edges.get(n.id))) lit.set(edges.get(n.id), 'out')
        for (const link of between(from, n.id)) lit.set(link, 'out')
      }
      lit.set(edges.get(from), 'in')
    }
    passing = new Map()
    for (const [lamp, way] of lit) {
      if (!lamp) continue // the node is not in the picture
      lamp.line.classList.remove('in', 'out')
      lamp.line.classList.add(way)
      clearTimeout(lamp.timer)
      lamp.timer = setTimeout(() => lamp.line.classList.remove('in', 'out'), GLOW)
    }
  }

  // between returns the links between the hubs of two nodes.
  function between (a, b) {
    const ends = [a, b].map(id => order.indexOf(nodes.hubOf(id)))
    return ends.includes(-1) ? [] : links.slice(Math.min(...ends), Math.max(...ends))
  }
}

// share gives each hub the same number of clients, and gives large hubs the places that small hubs do not need.
function share (stars, most) {
  let each = most
  const sizes = stars.map(({ clients }) => clients.length).sort((a, b) => a - b)
  sizes.forEach((size, i) => {
    each = most / (sizes.length - i)
    most -= Math.min(size, each)
  })
  return stars.map(({ hub, clients }) => ({ hub, clients: clients.slice(0, each) }))
}

// lamp draws a line that can light up.
function lamp (lines, name, [x1, y1], [x2, y2]) {
  const line = make('line', { x1, y1, x2, y2, class: name })
  lines.append(line)
  return { line, timer: 0 }
}
