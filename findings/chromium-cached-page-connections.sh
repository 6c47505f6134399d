#!/usr/bin/env bash
# Chromium 156 with a page that has a WebSocket or an EventSource open. The user goes to another page and comes back 2 s later.
# Chromium keeps the first page in its back/forward cache meanwhile.
#
# Guess: a page with an open WebSocket does not enter the cache, or its WebSocket closes when it enters. So a server sees that the
#   user has left.
# Behaviour: the page enters the cache, and the server sees an open connection as long as the page is there. Messages that the server
#   sends in that time leave without an error and are lost. The WebSocket fails only when the user returns: at `pageshow` its readyState
#   is still 1 (open), and a moment later the page gets 1006 and the server 1001. An EventSource stays open for the whole time, and
#   the page receives all messages of that time when the user returns.
# Output seen with Chromium 156.0.8078.114 and Node.js 20:
#   websocket: pageshow persisted true, readyState 1; then close 1006
#   websocket: server sent 20 messages while the page was cached, the page received 0 of them; close 1001 at the server after the return
#   eventsource: pageshow persisted true, readyState 1; 20 of 20 messages of the absence received after the return
#
# Needs: node, npm, chromium.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts playwright-core@1.64.1 ws@8.23.0
cat > run.js <<'JS'
const http = require('http')
const { once } = require('events')
const { chromium } = require('playwright-core')
const { WebSocketServer } = require('ws')

const html = script => `<!doctype html><script>
  window.seen = { got: [] }
  addEventListener('pageshow', e => { if (e.persisted) seen.show = source.readyState })
  ${script}
  source.onmessage = e => seen.got.push(Number(e.data))
  source.onclose = e => { seen.close = e.code }
</script>`
const pages = {
  '/websocket': html("const source = new WebSocket('ws://' + location.host)"),
  '/eventsource': html("const source = new EventSource('/events')"),
  '/other': '<!doctype html>another page'
}

async function visit (browser, kind) {
  let send
  let closed
  const server = http.createServer((request, response) => {
    if (request.url !== '/events') {
      response.setHeader('content-type', 'text/html')
      response.end(pages[request.url])
      return
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    send = n => response.write(`data: ${n}\n\n`)
    send(0)
    response.on('close', () => { closed = 'closed' })
  })
  new WebSocketServer({ server }).on('connection', socket => {
    send = n => socket.send(String(n))
    send(0)
    socket.on('close', code => { closed = code })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const base = `http://127.0.0.1:${server.address().port}`
  const page = await browser.newPage()
  await page.goto(`${base}/${kind}`)
  await page.waitForFunction(() => seen.got.length === 1)
  await page.goto(`${base}/other`)
  for (let n = 1; n <= 20; n++) {
    send(n)
    await new Promise(resolve => setTimeout(resolve, 100))
  }
  const whileCached = closed
  await page.goBack({ waitUntil: 'commit' })
  await page.waitForFunction(() => seen.show !== undefined && (seen.close || seen.got.length > 20), null, { timeout: 5000 })
  const seen = await page.evaluate(() => seen)
  while (kind === 'websocket' && closed === undefined) await new Promise(resolve => setTimeout(resolve, 10))
  const result = { show: seen.show, close: seen.close, missed: seen.got.filter(n => n > 0).length, whileCached, closed }
  await page.close()
  server.closeAllConnections()
  server.close()
  return result
}

(async () => {
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
    ignoreDefaultArgs: ['--disable-back-forward-cache']
  })
  console.log(`Chromium ${browser.version()}, node ${process.version}`)
  const ws = await visit(browser, 'websocket')
  console.log(`websocket: pageshow persisted true, readyState ${ws.show}; then close ${ws.close}`)
  console.log(`websocket: server sent 20 messages while the page was cached, the page received ${ws.missed} of them; ` +
    `close ${ws.closed} at the server after the return`)
  const es = await visit(browser, 'eventsource')
  console.log(`eventsource: pageshow persisted true, readyState ${es.show}; ${es.missed} of 20 messages of the absence received after the return`)
  await browser.close()
  const same = ws.show === 1 && ws.close === 1006 && ws.missed === 0 && ws.whileCached === undefined && ws.closed === 1001 &&
    es.show === 1 && es.missed === 20 && es.whileCached === undefined
  console.log(same ? 'as expected' : 'THE BEHAVIOUR HAS CHANGED')
  process.exit(same ? 0 : 1)
})()
JS
node run.js
