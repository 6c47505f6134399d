// The view of a mesh with more nodes than the picture has places: the nodes that emit now and their rates, the hubs,
// and groups of similar nodes. The width of a line shows the rate: without a line, no event passes.

import { $, element, isolated, paced, say, visible } from './dom.js'
import { make } from './marks.js'
import { matches } from './names.js'
import { kind } from './nodes.js'
import { perSecond } from './rates.js'

const EMITTERS = 10
const NAMES = 3 // of one emitter, or interests of one group
const GROUPS = 10
const HUBS = 6
const LOOK = 5 // milliseconds to match names: nodes choose their patterns, and some take long
const TRIED = 20 // the number of names that are matched

export function drawCrowd (nodes, rates, filter) {
  const box = $('crowd')
  const svg = box.querySelector('svg')
  const draw = paced(show)
  nodes.onChange(draw)
  setInterval(() => nodes.large && !document.hidden && draw(), 1000)
  new ResizeObserver(draw).observe(box)

  function show () {
    box.hidden = !nodes.large
    if (!nodes.large) return
    const now = rates.rates()
    const emitters = now.senders.slice(0, EMITTERS)
    const groups = gather()
    nodes.lookUp(emitters.map(e => e.id).filter(Boolean))
    const rest = now.senders.length - emitters.length
    say($('emitting-text'), !now.senders.length ? 'No node emits.'
      : `${perSecond(now.total)} from ${count(now.senders.length, 'node')}.` + (rest > 0 ? ` The ${emitters.length} that emit most:` : ''))
    fill($('emitters'), emitters.map(emitter))
    const hubs = nodes.stars.map(({ hub }) => hub)
    fill($('hubs'), hubs.slice(0, HUBS).map(hub => element('li', {}, isolated(nodes.title(hub.id), 40)))
      .concat(hubs.length > HUBS ? [element('li', {}, `and ${hubs.length - HUBS} more`)] : []))
    say($('groups-text'), `${count(nodes.total - hubs.length, 'node')}.`)
    const heard = hears(groups, now.names.slice(0, TRIED))
    fill($('groups'), groups.map((g, i) => group(g, heard[i])))
    lines(emitters, hubs, groups, heard)
  }

  function emitter ({ id, rate, names }) {
    const all = names()
    const more = all.length - NAMES
    const title = nodes.title(id)
    return element('li', {},
      button(element('strong', {}, isolated(title, 40)), 'Show the events from ' + visible(title, 60) + ' only', 'from:' + id), ' ',
      element('span', { className: 'rate' }, perSecond(rate)),
      element('div', { className: 'hint' }, ...all.slice(0, NAMES).flatMap((n, i) => [i ? ', ' : '',
        button(isolated(n.name, 40), `Show the events ${visible(n.name, 60)} only`, 'event:' + n.name), ' ' + perSecond(n.rate)]),
      more > 0 ? ` and ${more} more` : ''))
  }

  function group (g, rate) {
    const interests = g.interests.slice(0, NAMES)
    const more = g.interests.length - interests.length + (Number(g.more) || 0)
    return element('li', {},
      element('strong', {}, g.rest ? `${g.count} others` : g.count === 1 ? isolated(g.name || g.id.slice(0, 8), 40) : `${g.count} × `,
        g.rest || g.count === 1 ? '' : g.name ? isolated(g.name + '…', 40) : kind(g)), ' ',
      rate ? element('span', { className: 'rate' }, 'up to ' + perSecond(rate)) : '',
      element('div', { className: 'hint' }, g.rest ? '' : [kind(g), nodes.at(g), g.muted ? 'not admitted' : ''].filter(Boolean).join(' ') + ' · ',
        ...interests.flatMap((name, i) => [i ? ', ' : 'listens to ',
          button(isolated(String(name), 40), `Show the events ${visible(String(name), 60)} only`, 'event:' + pattern(String(name)))]),
        more > 0 ? ` and ${more} more` : g.interests.length || g.rest ? '' : 'listens to nothing'))
  }

  function button (content, label, wanted) {
    const b = element('button', { type: 'button', className: 'plain', ariaLabel: label }, content)
    b.addEventListener('click', () => filter(wanted))
    return b
  }

  // gather returns the largest groups, and all others as one group.
  function gather () {
    const all = [...nodes.groups].sort((a, b) => (a.rest ? 1 : 0) - (b.rest ? 1 : 0) || b.count - a.count)
    const shown = all.slice(0, GROUPS).filter(g => !g.rest)
    const left = all.filter(g => !shown.includes(g)).reduce((n, g) => n + g.count, 0)
    return left ? [...shown, { id: '', hub: '', name: '', interests: [], count: left, rest: true }] : shown
  }

  // hears returns, for each group, the rate of the events that its nodes subscribe to.
  function hears (groups, names) {
    const until = performance.now() + LOOK
    return groups.map(g => names.reduce((sum, { name, rate }) =>
      performance.now() < until && g.interests.some(i => matches(pattern(String(i)), name)) ? sum + rate : sum, 0))
  }

  // lines draws the rates: from each emitter to its hub, and from each hub to the subscribed groups.
  function lines (emitters, hubs, groups, heard) {
    const whole = box.getBoundingClientRect()
    svg.setAttribute('viewBox', `0 0 ${whole.width} ${whole.height}`)
    svg.replaceChildren()
    const [left, middle, right] = ['emitters', 'hubs', 'groups'].map(id => [...$(id).children].map(e => e.getBoundingClientRect()))
    if (!middle.length || middle[0].left < whole.left + whole.width / 4) return // the columns are one below the other: no room for lines
    const at = id => middle[Math.max(0, Math.min(middle.length - 1, hubs.findIndex(h => h.id === id)))]
    const line = (x1, y1, x2, y2, rate, name) => {
      const bend = (x1 + x2) / 2
      const path = make('path', { d: `M${x1} ${y1}C${bend} ${y1} ${bend} ${y2} ${x2} ${y2}`, class: 'flow ' + name, 'stroke-width': Math.min(12, 1 + 1.5 * Math.log2(1 + rate)) })
      svg.append(path)
    }
    const height = r => (r.top + r.bottom) / 2 - whole.top
    emitters.forEach(({ id, rate }, i) => {
      const hub = at(nodes.hubOf(id))
      if (left[i]) line(left[i].right - whole.left, height(left[i]), hub.left - whole.left, height(hub), rate, 'in')
    })
    groups.forEach((g, i) => {
      const hub = at(g.hub)
      if (heard[i] && right[i]) line(hub.right - whole.left, height(hub), right[i].left - whole.left, height(right[i]), heard[i], 'out')
    })
  }
}

// pattern returns a pattern for an interest whose # replaces numbers and IDs.
const pattern = interest => interest.split('::').map(part => part.includes('#') ? '*' : part).join('::')

const count = (n, what) => n === 1 ? `1 ${what}` : `${n} ${what}s`

// fill replaces the items of a list, and keeps the focus at the same position in it.
function fill (list, items) {
  const place = [...list.querySelectorAll('button')].indexOf(document.activeElement)
  list.replaceChildren(...items)
  if (place >= 0) {
    const buttons = list.querySelectorAll('button')
    if (buttons.length) buttons[Math.min(place, buttons.length - 1)].focus()
  }
}
