// Finds a node by its name or the beginning of its ID. The hub searches: the page knows only some nodes of a large
// mesh.

import { $, element, say, visible } from './dom.js'
import { describe } from './list.js'

const SHOWN = 20 // the number of found nodes that are shown
const PAUSE = 100 // milliseconds after the last key

export function findNodes (nodes, { explain, filter }) {
  let timer
  $('find').addEventListener('input', () => {
    clearTimeout(timer)
    timer = setTimeout(search, PAUSE)
  })
  $('find').addEventListener('search', search) // the Enter key, or the field's cross

  async function search () {
    clearTimeout(timer)
    const text = $('find').value.trim()
    const { found, error } = await nodes.find(text, SHOWN + 1).then(found => ({ found }), error => ({ found: [], error }))
    if (text !== $('find').value.trim()) return // the user has typed more
    say($('find-text'), error ? `The hub cannot answer: ${visible(error.message, 200)}.` : !text ? '' : count(found.length, text))
    $('found').replaceChildren(...found.slice(0, SHOWN).map(item))
  }

  function count (n, text) {
    if (!n) return `No node has a name with “${visible(text, 60)}”, or an ID that begins with it.`
    return n > SHOWN ? `The first ${SHOWN} nodes. A longer text finds fewer.` : n === 1 ? '1 node.' : `${n} nodes.`
  }

  function item (n) {
    const title = visible(nodes.title(n.id), 60)
    const button = (text, label, act) => {
      const b = element('button', { type: 'button', ariaLabel: label }, text)
      b.addEventListener('click', act)
      return b
    }
    return describe(nodes, n, element('div', { className: 'row' },
      button('Explain…', `Explain why ${title} does not get an event`, () => explain(n)),
      button('Its events', `Show the events from ${title} only`, () => filter('from:' + n.id))))
  }
}
