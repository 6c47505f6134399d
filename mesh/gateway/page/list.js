// The nodes as a list, with more details than the picture.

import { $, element, isolated, say, visible } from './dom.js'
import { kind, session } from './nodes.js'

export function showList (nodes) {
  let drawn = ''
  nodes.onChange(update)
  $('list').closest('details').addEventListener('toggle', update)
  update()

  function update () {
    const { shown, total } = nodes
    say($('list-title'), `As a list: ${total} ${total === 1 ? 'node' : 'nodes'}`)
    if (!$('list').closest('details').open) return
    const now = JSON.stringify(shown.map(n => ({ ...n, lastSeen: '' })))
    if (now === drawn) return
    drawn = now
    const rest = total - shown.length
    $('list').replaceChildren(...shown.map(n => describe(nodes, n)), ...(rest > 0 ? [element('li', {}, `and ${rest} more`)] : []))
  }
}

// describe returns a list item with all of the hub's information about a node.
export function describe (nodes, n, ...more) {
  const where = nodes.at(n) && ' ' + nodes.at(n)
  const facts = [kind(n) + where + (nodes.isSelf(n.id) && n.name ? ', this page' : ''), session(n), n.muted ? 'not admitted' : '',
    n.addr ? (n.role === 'hub' ? 'at ' : 'from ') + n.addr : '', n.since ? 'since ' + new Date(n.since).toLocaleString() : '', n.id ? 'ID ' + n.id : '']
  const rest = n.more > 0 ? ` and ${Number(n.more)} more` : ''
  const interests = n.interests.flatMap((name, i) => [i ? ', ' : '', isolated(String(name), 120)])
  return element('li', {},
    element('strong', {}, isolated(n.name || nodes.title(n.id), 80)), ' ',
    element('div', { className: 'hint' }, facts.filter(Boolean).map(f => visible(String(f))).join(' · ')), ' ',
    ...(interests.length ? [element('div', { className: 'interests' }, 'listens to ', ...interests, rest)] : []), ...more)
}
