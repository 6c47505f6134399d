'use strict'

// A page in headless Chromium: node browser.js PAGE, which is served here, and so of another origin than the servers that
// it dials. PAGE is a version of engine.io-client: see browser-page.js; or mesh: see mesh-page.js. In either, where is
// answered with origin {text}, the page's.
//
// Commands reach the page as server-sent events, and its events come back as POSTs, one after the other.

const { spawn } = require('child_process')
const fs = require('fs')
const http = require('http')
const os = require('os')
const path = require('path')
const readline = require('readline')

const stock = 'engine.io-client-6/dist/engine.io.js'
const bundle = require.resolve({
  '1.4.1': 'engine.io-client/engine.io.js',
  '3.5.4': 'engine.io-client-3/engine.io.js',
  '6.6.8': stock,
  mesh: stock
}[process.argv[2]])
const page = process.argv[2] === 'mesh' ? 'mesh-page.js' : 'browser-page.js'

const routes = {
  '/': file('text/html', path.join(__dirname, 'browser.html')),
  '/engine.io.js': file('text/javascript', bundle),
  '/page.js': file('text/javascript', path.join(__dirname, page)),
  '/page-lines.js': file('text/javascript', path.join(__dirname, 'page-lines.js')),
  '/burst.js': file('text/javascript', path.join(__dirname, 'burst.js')),
  '/commands': commands,
  '/events': events
}

function file (type, name) {
  return function (req, res) {
    res.writeHead(200, { 'Content-Type': type })
    fs.createReadStream(name).pipe(res)
  }
}

function commands (req, res) {
  res.writeHead(200, { 'Content-Type': 'text/event-stream' })
  res.write('\n')
  const lines = readline.createInterface({ input: process.stdin })
  lines.on('line', line => res.write('data: ' + line + '\n\n'))
  lines.on('close', end)
}

function end () {
  process.kill(-browser.pid, 'SIGKILL') // it and its children, which are a group
}

function events (req, res) {
  let body = ''
  req.setEncoding('utf8')
  req.on('data', chunk => { body += chunk })
  req.on('end', function () {
    process.stdout.write(body)
    res.writeHead(204)
    res.end()
  })
}

let browser

const server = http.createServer(function (req, res) {
  const route = routes[req.url]
  if (route) return route(req, res)
  res.writeHead(404)
  res.end()
})

server.listen(0, '127.0.0.1', function () {
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'interop-browser-'))
  // With the debugging pipe the browser ends when this process does, however that ends.
  browser = spawn('chromium', [
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--disable-sync',
    '--disable-background-networking', '--disable-component-update', '--disable-extensions', '--mute-audio',
    '--remote-debugging-pipe', '--user-data-dir=' + profile, 'http://127.0.0.1:' + server.address().port + '/'
  ], { detached: true, stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'] })
  // What it says of a machine without a desktop is of no use.
  browser.stderr.on('data', text => process.stderr.write(String(text).replace(/^.*\bdbus\b.*\n/gm, '')))
  browser.on('exit', () => clear(profile, 100))
  process.on('SIGINT', end) // that of a terminal reaches all that runs in it, but for the browser
})

// clear removes the browser's folder and ends. The last of its children may still be about to write there.
function clear (profile, tries) {
  try {
    fs.rmSync(profile, { recursive: true, force: true })
  } catch (err) {
    if (tries === 0) throw err
    setTimeout(clear, 50, profile, tries - 1)
    return
  }
  process.exit()
}
