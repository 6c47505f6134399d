#!/usr/bin/env bash
# Chromium 156 with a page that holds a Web Lock (navigator.locks). The user goes to another page and comes back.
#
# Guess: a page that holds a lock does not enter the back/forward cache, or it keeps its lock there. So a second page cannot get the lock
#   while the user can still return to the first one with its memory.
# Behaviour: the page enters the cache and keeps the lock while no other page asks for it. When another page asks, Chromium grants the
#   lock at once and discards the cached page ("weblocks-contention"). The user's return then loads the first page again, without its memory.
# Output seen with Chromium 156.0.8078.114:
#   no other page asks: restored from the cache, lock still held
#   another page asks: it gets the lock after 12 ms; the return loads the page again, reasons weblocks-contention
#
# Needs: node, npm, chromium.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts playwright-core@1.64.1
cat > run.js <<'JS'
const http = require('http')
const { once } = require('events')
const { chromium } = require('playwright-core')

const pages = {
  '/holder': `<!doctype html><script>
    addEventListener('pageshow', e => { window.restored = e.persisted })
    window.held = new Promise(resolve => navigator.locks.request('node', () => { resolve(); return new Promise(() => {}) }))
  </script>`,
  '/asker': `<!doctype html><script>
    const start = performance.now()
    window.granted = navigator.locks.request('node', () => Math.round(performance.now() - start))
  </script>`,
  '/other': '<!doctype html>another page'
}

async function leaveAndReturn (browser, base, to) {
  const page = await browser.newPage()
  await page.goto(base + '/holder')
  await page.evaluate(() => held)
  await page.goto(base + to)
  const after = to === '/asker' ? await page.evaluate(() => granted) : null
  await page.goBack({ waitUntil: 'commit' })
  await page.waitForFunction(() => window.restored !== undefined)
  const result = await page.evaluate(async () => ({
    restored,
    held: (await navigator.locks.query()).held.length,
    reasons: performance.getEntriesByType('navigation')[0].notRestoredReasons?.reasons?.map(r => r.reason).join()
  }))
  await page.close()
  return { after, ...result }
}

(async () => {
  const server = http.createServer((request, response) => {
    response.setHeader('content-type', 'text/html')
    response.end(pages[request.url])
  })
  server.listen(0, 'localhost')
  await once(server, 'listening')
  const base = `http://localhost:${server.address().port}`
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
    ignoreDefaultArgs: ['--disable-back-forward-cache']
  })
  console.log(`Chromium ${browser.version()}, node ${process.version}`)
  const quiet = await leaveAndReturn(browser, base, '/other')
  console.log(`no other page asks: ${quiet.restored ? 'restored from the cache' : 'loaded again'}, lock ${quiet.held ? 'still held' : 'lost'}`)
  const asked = await leaveAndReturn(browser, base, '/asker')
  console.log(`another page asks: it gets the lock after ${asked.after} ms; the return ${asked.restored ? 'restores the page' : 'loads the page again'}, ` +
    `reasons ${asked.reasons}`)
  await browser.close()
  server.close()
  const same = quiet.restored && quiet.held === 1 && asked.after < 2000 && !asked.restored && asked.reasons === 'weblocks-contention'
  console.log(same ? 'as expected' : 'THE BEHAVIOUR HAS CHANGED')
  process.exit(same ? 0 : 1)
})()
JS
node run.js
