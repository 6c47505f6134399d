'use strict'

// Browsers for browser.js. launch.NAME(url, folder) opens a page in a headless browser, which stores its files in folder,
// and returns the process to watch. The process ends when its input is closed, or when this process ends for any reason.

const { spawn } = require('child_process')
const fs = require('fs')
const net = require('net')
const path = require('path')

const launch = { chromium, firefox, webkit }

module.exports = launch

// start runs a program in a process group. The group ends with the program, or with the input of the shell that leads it.
function start (command, env) {
  const script = 'exec 3<&0; "$@" < /dev/null & cat <&3 > /dev/null & wait -n; kill -KILL 0'
  const child = spawn('bash', ['-c', script, 'bash', ...command], {
    detached: true, stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, ...env }
  })
  child.stdout.resume()
  // Messages about a machine without a desktop do not help anyone.
  child.stderr.on('data', text => process.stderr.write(String(text).replace(/^.*\b(dbus|glxtest|EGL|GPU|Gtk-WARNING)\b.*\n/gim, '')))
  return child
}

// line returns the first match of a pattern in a stream.
function line (stream, pattern) {
  return new Promise(function (resolve, reject) {
    let text = ''
    stream.on('data', function (chunk) {
      text += chunk
      const match = pattern.exec(text)
      if (match) resolve(match[1])
    })
    stream.on('end', () => reject(new Error('it ended without ' + pattern)))
  })
}

function chromium (url, folder) {
  return start(['chromium',
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--disable-sync',
    '--disable-background-networking', '--disable-component-update', '--disable-extensions', '--mute-audio',
    '--user-data-dir=' + folder, url
  ])
}

// firefox controls Firefox by WebDriver BiDi, which Firefox supports without a driver.
function firefox (url, folder) {
  // Without these settings Firefox asks servers of its vendor for updates and settings.
  const prefs = {
    'app.normandy.enabled': false,
    'browser.safebrowsing.downloads.remote.enabled': false,
    'browser.search.update': false,
    'datareporting.policy.dataSubmissionEnabled': false,
    'extensions.update.enabled': false,
    'network.captive-portal-service.enabled': false,
    'network.connectivity-service.enabled': false,
    'services.settings.server': 'data:,'
  }
  fs.writeFileSync(path.join(folder, 'user.js'),
    Object.entries(prefs).map(([k, v]) => `user_pref(${JSON.stringify(k)}, ${JSON.stringify(v)});\n`).join(''))
  const child = start(['firefox-esr', '--headless', '--no-remote', '--profile', folder, '--remote-debugging-port=0', 'about:blank'])
  line(child.stderr, /WebDriver BiDi listening on (ws:\S+)/).then(async function (endpoint) {
    const { call } = await bidi(endpoint + '/session')
    await call('session.new', { capabilities: {} })
    const { contexts } = await call('browsingContext.getTree', {})
    await call('browsingContext.navigate', { context: contexts[0].context, url, wait: 'none' })
  }).catch(failed)
  return child
}

// bidi opens a connection for commands.
async function bidi (endpoint) {
  const WebSocket = require(require.resolve('ws', { paths: [path.dirname(require.resolve('engine.io-client-6/package.json'))] }))
  const socket = new WebSocket(endpoint, { perMessageDeflate: false })
  const waiting = new Map()
  let last = 0
  socket.on('message', function (text) {
    const answer = JSON.parse(text)
    const wait = waiting.get(answer.id)
    if (!wait) return // an event
    waiting.delete(answer.id)
    if (answer.type === 'success') wait.resolve(answer.result)
    else wait.reject(new Error(answer.error + ': ' + answer.message))
  })
  await new Promise(function (resolve, reject) {
    socket.on('open', resolve)
    socket.on('error', reject)
  })
  return {
    call (method, params) {
      const id = ++last
      socket.send(JSON.stringify({ id, method, params }))
      return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }))
    }
  }
}

// webkit controls WebKitGTK by WebDriver, in an invisible display.
function webkit (url, folder) {
  const child = start(['Xvfb', '-displayfd', '1', '-screen', '0', '800x600x24', '-nolisten', 'tcp'])
  line(child.stdout, /(\d+)\n/).then(async function (display) {
    const port = await freePort()
    const driver = start(['WebKitWebDriver', '--port=' + port], {
      DISPLAY: ':' + display, HOME: folder, XDG_CACHE_HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder
    })
    child.on('exit', () => driver.stdin.end())
    const session = await post(port, '/session', { capabilities: { alwaysMatch: {} } })
    await post(port, '/session/' + session.sessionId + '/url', { url })
  }).catch(failed)
  return child
}

function freePort () {
  return new Promise(function (resolve) {
    const probe = net.createServer().listen(0, '127.0.0.1', function () {
      const { port } = probe.address()
      probe.close(() => resolve(port))
    })
  })
}

// post sends a WebDriver command. It repeats the command while the driver does not listen yet.
async function post (port, path, body) {
  for (let tries = 200; ; tries--) {
    try {
      const response = await fetch('http://127.0.0.1:' + port + path, { method: 'POST', body: JSON.stringify(body) })
      const { value } = await response.json()
      if (!response.ok) throw new Error(value.error + ': ' + value.message)
      return value
    } catch (error) {
      if (tries === 0 || !error.cause || error.cause.code !== 'ECONNREFUSED') throw error
      await new Promise(resolve => setTimeout(resolve, 50))
    }
  }
}

function failed (error) {
  console.error(error)
  process.exit(1)
}
