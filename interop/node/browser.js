'use strict'

// A page in a headless browser: node browser.js PAGE [BROWSER]. This program serves the page, so the page has another
// origin than the servers that it dials. PAGE is a version of engine.io-client, see browser-page.js; mesh, see
// mesh-page.js; or original, see original-page.js. Each page responds to the command where with origin {text}, which is
// the page's origin. BROWSER is a browser of browsers.js. The default is chromium.
//
// Commands reach the page as server-sent events. Its events come back as POSTs, one after the other.

const fs = require('fs')
const http = require('http')
const os = require('os')
const path = require('path')
const readline = require('readline')
const launch = require('./browsers')

const stock = 'engine.io-client-6/dist/engine.io.js'
const bundle = require.resolve({
  '1.3.1': 'engine.io-client-1.3/engine.io.js',
  '1.4.1': 'engine.io-client/engine.io.js',
  '1.5.1': 'engine.io-client-1.5/engine.io.js',
  '1.6.11': 'engine.io-client-1.6/engine.io.js',
  '1.8.6': 'engine.io-client-1.8.6/engine.io.js',
  '2.1.1': 'engine.io-client-2/engine.io.js',
  '3.5.4': 'engine.io-client-3/engine.io.js',
  '6.6.8': stock,
  mesh: stock,
  original: 'resource-mesh/lib/server/public/mesh.js'
}[process.argv[2]])
const page = { mesh: 'mesh-page.js', original: 'original-page.js' }[process.argv[2]] || 'browser-page.js'
const browserName = process.argv[3] || 'chromium'

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
  browser.stdin.end()
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
  browser = launch[browserName]('http://127.0.0.1:' + server.address().port + '/', profile)
  browser.on('exit', () => clear(profile, 100))
  process.on('SIGINT', end) // SIGINT from a terminal reaches all its processes, except the browser
})

// clear removes the browser's folder and ends this process. A child process of the browser may still write to the folder.
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
