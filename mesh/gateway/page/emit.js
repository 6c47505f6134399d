// The form to emit an event.

import { $, say, visible } from './dom.js'
import { fault } from './json.js'

const words = {
  name: 'No node may emit this name: it is reserved, too long, or has an asterisk.',
  'too-large': 'An event has at most 1 MB.',
  'queue-full': 'The queue is full.'
}

export function startEmit (client) {
  const name = $('emit-name')
  const payload = $('emit-payload')

  payload.addEventListener('input', check)
  client.on('$mesh.refused', ({ event, rule }) => {
    say($('emit-text'), `The hub rejects ${visible(String(event), 60)}: ${visible(String(rule), 60)}.`)
  })
  payload.addEventListener('keydown', e => {
    if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) $('emit').requestSubmit()
  })
  $('emit').addEventListener('submit', e => {
    e.preventDefault()
    if (!check()) return payload.focus()
    if (name.value.startsWith('$')) return say($('emit-text'), words.name) // the client would send the hub a request
    try {
      client.emit(name.value, payload.value.trim() ? JSON.parse(payload.value) : undefined)
      const where = client.state.hub ? 'Emitted ' : 'Not connected: the page sends this when there is a hub again: '
      say($('emit-text'), where + visible(name.value, 60) + ', ' + new Date().toLocaleTimeString() + '.')
    } catch (error) {
      say($('emit-text'), words[error.code] || visible(String(error.message)))
    }
  })

  // check shows whether the payload is JSON, or where the fault is.
  function check () {
    const wrong = payload.value.trim() && fault(payload.value)
    payload.setAttribute('aria-invalid', String(Boolean(wrong)))
    $('emit-check').classList.toggle('wrong', Boolean(wrong))
    say($('emit-check'), wrong ? 'Not JSON yet, ' + wrong + '.' : payload.value.trim() ? 'This is JSON.' : '')
    return !wrong
  }
}
