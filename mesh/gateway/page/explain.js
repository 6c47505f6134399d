// The most common question: why did this node not get that event? The hub answers it.

import { $, element, isolated, say, visible } from './dom.js'
import { kind } from './nodes.js'

const PATIENCE = 5000 // milliseconds to wait for a response

export function startExplain (client, nodes) {
  const to = $('explain-to')
  const from = $('explain-from')
  const button = $('explain').querySelector('button')
  let rid = 0
  let deadline

  choose()
  nodes.onChange(choose)
  client.onState(able)
  able(client.state)
  client.on('$mesh.explain', a => a && a.rid === rid && answer(a))

  // The returned function selects a node, which the page may not have known before.
  const explain = node => {
    choose()
    if (![...to.options].some(o => o.value === node.id)) for (const select of [to, from]) select.append(option(node))
    to.value = node.id
    $('explain-event').focus()
  }

  $('explain').addEventListener('submit', e => {
    e.preventDefault()
    try {
      const question = { rid: ++rid, to: to.value, event: $('explain-event').value, from: from.value || undefined }
      client.emit('$mesh.explain', question)
      clearTimeout(deadline)
      deadline = setTimeout(() => tell('The hub does not answer.'), PATIENCE)
    } catch (error) {
      tell('Not connected: there is no hub to ask.')
    }
  })

  return explain

  function answer (a) {
    clearTimeout(deadline)
    if (a.error) return tell('The hub cannot answer: ' + visible(String(a.message)) + '.')
    const who = isolated(nodes.title(a.to), 60)
    const lines = [
      element('p', { className: a.delivered ? 'yes' : 'no' }, element('strong', {}, a.delivered ? 'Yes: ' : 'No: '), who,
        a.delivered ? ' would get ' : ' would not get ', isolated(String(a.event), 120), '.'),
      element('p', {}, visible(String(a.text), 300)),
      element('p', { className: 'hint' }, 'Rule: ', element('code', {}, visible(String(a.rule))),
        ...(a.match ? ['; it listens to ', isolated(String(a.match), 120)] : []))
    ]
    $('explain-text').replaceChildren(lines[0], ' ', lines[1], ' ', lines[2])
  }

  function tell (text) {
    clearTimeout(deadline)
    say($('explain-text'), text)
  }

  function able ({ hub }) {
    button.disabled = Boolean(hub && hub.node)
    if (hub && hub.node) tell('A hub of the original mesh cannot answer this. It sends an event to each node whose table has exactly this name, and does not support patterns.')
    else if (hub && button.dataset.node) tell('')
    button.dataset.node = hub && hub.node ? '1' : ''
  }

  function option (n) {
    return new Option(visible([nodes.title(n.id), kind(n), nodes.at(n), n.id.slice(0, 8)].filter(Boolean).join(', '), 80), n.id)
  }

  // choose updates the choices to the known nodes, and does not move the others.
  function choose () {
    for (const [select, first] of [[to, null], [from, 'any node']]) {
      const old = new Map([...select.options].map(o => [o.value, o]))
      if (first && !old.has('')) select.append(new Option(first, ''))
      for (const n of nodes.shown) {
        if (!n.id) continue
        const is = option(n)
        const was = old.get(n.id)
        if (!was) select.append(is)
        else if (was.text !== is.text) was.text = is.text
      }
      for (const [id, was] of old) if (id && !nodes.get(id)) was.remove()
    }
  }
}
