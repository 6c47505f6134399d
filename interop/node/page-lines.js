'use strict'

// The code that the pages of browser.js share, as the processes share lines.js.

/* exported report, serve */

// A POST sends all waiting events. The next POST follows when it is done, so the events stay in order.
let waiting = ''
let posting = false

async function report (event) {
  waiting += JSON.stringify(event) + '\n'
  if (posting) return
  posting = true
  while (waiting) {
    const body = waiting
    waiting = ''
    await fetch('/events', { method: 'POST', body })
  }
  posting = false
}

// serve reports ready, and runs table[command.do](command) for each command.
function serve (table) {
  table.where = command => report({ id: command.id, event: 'origin', text: location.origin })
  addEventListener('error', event => report({ event: 'failed', error: event.message }))
  addEventListener('unhandledrejection', event => report({ event: 'failed', error: String(event.reason) }))
  const commands = new EventSource('/commands')
  commands.onopen = () => report({ event: 'ready' })
  commands.onmessage = message => {
    const command = JSON.parse(message.data)
    table[command.do](command)
  }
}
