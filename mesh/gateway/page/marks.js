// The mark and the label of a node in the picture. The mark shows its kind.

import { visible } from './dom.js'
import { kind, session } from './nodes.js'

export function markNodes (nodes) {
  return { dot, label, caption }

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
    shape.dataset.id = n.id
    title.textContent = visible(`${nodes.title(n.id)}: ${[kind(n), session(n)].filter(Boolean).join(', ')}`, 200)
    shape.append(title)
    return shape
  }

  // label writes a client's name and transport on the outer side: in two lines, or in one line if there are many
  // clients.
  function label (n, x, y, { width, wide, twoLines }) {
    const right = x > width / 2
    const room = (right ? width - x : x) - 16
    const at = { x: x + (right ? 14 : -14), 'text-anchor': right ? 'start' : 'end' }
    const name = visible(nodes.title(n.id), 100)
    const how = n.transport ? (wide ? short(n) + ', ' : '') + `${n.transport} ${n.revision}` : n.heard ? 'heard from' : ''
    const g = make('g', { class: 'label', 'data-id': n.id })
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

  // caption writes a hub's name, centred, in at most room pixels.
  function caption (n, x, y, room) {
    return text(fit(visible(nodes.title(n.id), 100), room / 8), { x, y, 'text-anchor': 'middle', class: 'caption', 'data-id': n.id })
  }
}

export function make (name, attributes) {
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
