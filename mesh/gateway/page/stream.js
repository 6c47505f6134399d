// The stream of the last events, the newest first.

import { $, element, isolated, paced, say, visible } from './dom.js'
import { matches as fits } from './names.js'

const MOST = 500 // the number of events that the page stores
const LONGEST = 400 // the number of characters of a payload that the page stores
const NAMES = 200 // the number of names that the page proposes

// filter makes the stream show only matching events: from:ID matches the events of a node, event:NAME the events of a
// name or pattern, and any other text the events that contain it. The same filter again shows all events.
export function filter (text) {
  $('filter').value = $('filter').value === text ? '' : text
  $('filter').dispatchEvent(new Event('input'))
}

export function showStream (client, nodes, star, rates) {
  let rows = [] // the newest last
  let fresh = [] // not shown yet; all of them while paused
  let paused = false
  let missed = 0 // the number of events while paused
  let heard = 0
  let wanted = parse('')
  const names = new Set()
  const later = paced(show)

  client.on('**', function (payload, { event, from }) {
    heard++
    nodes.heard(from)
    star.pass(event, from)
    rates.heard(from, event)
    const json = payload === undefined ? '' : JSON.stringify(payload)
    const row = { time: new Date(), event, from, json: json.slice(0, LONGEST), more: json.length - LONGEST }
    row.text = `${event}\n${nodes.title(from)}\n${from}\n${row.json}`.toLowerCase()
    if (!matches(row)) return later()
    fresh.push(row)
    if (fresh.length > MOST) fresh.shift()
    if (paused) missed++
    later()
  })

  $('filter').addEventListener('input', () => {
    wanted = parse($('filter').value)
    for (const row of rows) if (row.element) row.element.hidden = !matches(row)
    later()
  })
  $('pause').addEventListener('click', () => {
    paused = !paused
    missed = 0
    $('pause').setAttribute('aria-pressed', String(paused))
    $('pause').textContent = paused ? 'Resume' : 'Pause'
    later()
  })
  $('clear').addEventListener('click', () => {
    rows = []
    fresh = []
    heard = missed = 0
    $('stream').replaceChildren()
    later()
  })
  listenByName(client)
  later()

  function matches (row) {
    switch (wanted.what) {
      case 'from': return row.from.startsWith(wanted.text) || nodes.title(row.from).toLowerCase() === wanted.text
      case 'event': return fits(wanted.name, row.event)
      default: return row.text.includes(wanted.text)
    }
  }

  function show () {
    if (!paused && fresh.length) {
      const gone = rows.splice(0, Math.max(0, rows.length + fresh.length - MOST))
      for (const row of gone) row.element.remove()
      for (const row of fresh) propose(row.event)
      $('stream').prepend(...fresh.map(render).reverse())
      rows.push(...fresh)
      fresh = []
    }
    const shown = rows.filter(matches).length
    let text = heard === 0 ? 'No events yet.' : `${shown} shown of ${heard} received.`
    if (heard > MOST) text += wanted.text ? ` The page keeps the last ${MOST} that match.` : ` The page keeps the last ${MOST}.`
    if (wanted.what === 'from') text = `Only events from ${visible(nodes.title(wanted.text), 60)}: ` + text
    if (wanted.what === 'event') text = `Only events ${visible(wanted.name, 60)}: ` + text
    if (paused) text = `Paused; ${missed} since then. ` + text
    say($('stream-text'), text)
  }

  function render (row) {
    const from = nodes.title(row.from)
    row.element = element('li', {},
      element('time', { dateTime: row.time.toISOString(), textContent: clock(row.time) }), ' ',
      Object.assign(isolated(row.event, 120), { className: 'name' }), ' ',
      element('span', { className: 'from', title: row.from && 'ID ' + visible(row.from) }, 'from ', isolated(from, 40), nodes.mark(row.from)), ' ',
      element('code', {}, isolated(row.json || 'no payload', LONGEST), row.more > 0 ? ` and ${row.more} characters more` : ''))
    row.element.hidden = !matches(row)
    return row.element
  }

  // propose offers a name in the fields for names.
  function propose (name) {
    if (names.has(name) || names.size >= NAMES) return
    names.add(name)
    $('names').append(element('option', { value: name }))
  }
}

// parse parses a filter.
function parse (value) {
  const [, what, name] = /^(from|event):(.+)$/.exec(value.trim()) || []
  return { what, name, text: (name || value).toLowerCase() }
}

const clock = t => t.toTimeString().slice(0, 8) + '.' + String(t.getMilliseconds()).padStart(3, '0')

// listenByName is for a hub of the original mesh, which does not support patterns.
function listenByName (client) {
  const names = new Map()
  client.onState(({ hub }) => { if (hub) $('listen').hidden = !hub.node })

  $('listen').addEventListener('submit', e => {
    e.preventDefault()
    const name = $('listen-name').value
    if (names.has(name) || names.size >= 100) return
    const wish = () => {} // ** already receives it: this subscription only informs the hub
    try {
      if (name.includes('*')) throw new Error('a pattern')
      client.on(name, wish)
    } catch (error) {
      return say($('listen-text'), 'No page can listen to this name at such a hub: it is reserved, too long, or a pattern.')
    }
    say($('listen-text'), '')
    $('listen-name').value = ''
    names.set(name, wish)
    const off = element('button', { type: 'button', ariaLabel: 'Stop listening to ' + visible(name, 60) }, '×')
    const item = element('li', {}, isolated(name, 60), off)
    off.addEventListener('click', () => {
      client.off(name, wish)
      names.delete(name)
      item.remove()
      $('listen-name').focus()
    })
    $('listening').append(item)
  })
}
