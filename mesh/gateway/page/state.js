// The state of the connection in words, and the form for the user and password, or token, that a hub may require.

import { $, say, unfold, visible } from './dom.js'
import { hub, parse } from './hub.js'

export function followState (client) {
  let attempts = 0 // since the last connection
  let before = ''
  let next // the time of the next attempt
  let told = ''
  let signedIn = false
  let credentials = {}

  const openSignIn = unfold($('sign-in-open'), $('sign-in'), $('user'))
  unfold($('other-open'), $('other'), $('other-url'))
  if (!hub.own) $('user').autocomplete = $('password').autocomplete = 'off' // stored passwords are for the page's own hub
  say($('sign-in-text'), signInText(''))

  $('sign-in').addEventListener('submit', e => {
    e.preventDefault()
    const token = $('token').value.trim()
    if (/[^!-~]/.test(token)) return say($('sign-in-text'), 'A token has no blanks, and no characters beyond ASCII.')
    signedIn = true
    openSignIn(false)
    credentials = { user: $('user').value, password: $('password').value, token }
    $('password').value = $('token').value = ''
    reconnect()
  })
  $('retry').addEventListener('click', reconnect)
  $('other').addEventListener('submit', e => {
    e.preventDefault()
    try {
      location.search = '?hub=' + encodeURIComponent(parse($('other-url').value).href)
    } catch (error) {
      say($('other-text'), 'This is not an address of a hub. Use http://HOST:PORT.')
    }
  })

  function reconnect () {
    attempts = 0
    client.connect({ url: hub.url.href, name: 'page', ...credentials })
  }

  client.onState(show)
  show(client.state)
  setInterval(count, 200)

  function show (state) {
    const { status, error } = state
    next = state.retry === null ? null : Date.now() + state.retry
    $('state').dataset.status = status
    $('retry').hidden = status !== 'disconnected' || state.retry === null
    if (status === 'connecting') attempts++
    if (status === 'connected') {
      attempts = 0
      say($('state'), 'Connected, ' + state.transport)
      told = 'to ' + (state.hub.node ? 'a hub of the original mesh' : state.hub.name ? 'the hub ' + visible(String(state.hub.name), 60) : 'the hub') + ' at ' + hub.url.host
    } else if (status === 'connecting') {
      // During a series of attempts, screen readers get no new text.
      if (!before) say($('state'), 'Connecting')
      told = attempts > 1 ? `attempt ${attempts}, to ${hub.url.host}` : 'to ' + hub.url.host
    } else if (error && error.code === 'unauthorized') {
      say($('state'), 'Not admitted')
      told = 'The hub says: ' + visible(error.message.replace(/^mesh: /, ''), 200) + '.'
      say($('sign-in-text'), signInText(signedIn ? 'The hub rejected this. ' : 'The hub requires credentials. '))
      openSignIn(true)
    } else if (error) {
      say($('state'), 'Not connected')
      told = (attempts ? `Attempt ${attempts} failed: ` : 'The connection was lost: ') + reason(error) + '.'
      if (!hub.own && attempts > 1) told += ` A hub admits pages of ${location.origin} only if it runs with --allow-origin ${location.origin}.`
    }
    if (status !== 'connecting') before = status
    document.title = `Mesh: ${$('state').textContent.toLowerCase()}`
    count()
  }

  function count () {
    const s = next && Math.max(0, Math.ceil((next - Date.now()) / 1000))
    say($('detail'), told + (next ? ` Next try in ${s} s.` : ''))
  }

  function signInText (why) {
    return why + `User and password, or token, go to ${hub.own ? 'this hub' : hub.url.origin}.`
  }
}

// forbidden explains how to resolve a 403. A hub rejects pages of an origin that it does not know with this status.
const forbidden = `it rejects pages of ${location.origin}, because its own address is different. If a proxy is in front of the hub, ` +
  'make the proxy pass on Host, or run the hub with --trust-forwarded-host if the proxy sets X-Forwarded-Host. ' +
  `Or run the hub with --allow-origin ${location.origin}`

function reason (error) {
  if (!navigator.onLine) return 'the browser is offline'
  if (error instanceof TypeError) return 'nothing answers at ' + hub.url.host
  const why = error.message.replace(/^mesh: /, '')
  if (/ 403$/.test(why)) return why + ': ' + forbidden
  return / 503$/.test(why) ? why + ': it accepts no new clients now' : visible(why, 200)
}
