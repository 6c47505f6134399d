#!/usr/bin/env bash
# engine.io 6.6.13 and engine.io-client 6.6.8. The server has a long pingInterval, as people set it to switch the heartbeat off.
#
# Guess: each interval that fits a timer of Node.js (2^31-1 ms, 24.8 days) works, and there is no ping in the first weeks.
# Behaviour: the client waits for pingInterval + pingTimeout with one timer. If the sum is above 2^31-1 ms, that timer fires at once: the
#   client closes each session with "ping timeout" some milliseconds after it opened. The server accepts the options without a warning.
# Output seen with Node.js 20:
#   sum 2147483647 ms: open after 500 ms
#   sum 2147483648 ms: closed by the client, "ping timeout"
#
# Needs: node, npm.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts engine.io@6.6.13 engine.io-client@6.6.8
cat > run.js <<'JS'
const http = require('http')
const engine = require('engine.io')
const { Socket } = require('engine.io-client')

function session (pingInterval, pingTimeout) {
  return new Promise(resolve => {
    const server = http.createServer()
    engine.attach(server, { pingInterval, pingTimeout })
    server.listen(0, '127.0.0.1', () => {
      const client = new Socket(`ws://127.0.0.1:${server.address().port}`)
      const end = result => {
        console.log(`sum ${pingInterval + pingTimeout} ms: ${result}`)
        client.off('close')
        client.close()
        server.close()
        server.closeAllConnections()
        resolve(result)
      }
      client.on('close', reason => end(`closed by the client, "${reason}"`))
      client.on('open', () => setTimeout(() => client.readyState === 'open' && end('open after 500 ms'), 500))
    })
  })
}

(async () => {
  const most = 2 ** 31 - 1
  const timeout = 20000
  const fits = await session(most - timeout, timeout)
  const above = await session(most - timeout + 1, timeout)
  const same = fits === 'open after 500 ms' && above === 'closed by the client, "ping timeout"'
  console.log(same ? 'as expected' : 'THE BEHAVIOUR HAS CHANGED')
  process.exit(same ? 0 : 1)
})()
JS
version() { node -p "JSON.parse(fs.readFileSync('node_modules/$1/package.json')).version"; }
echo "node $(node --version), engine.io $(version engine.io), engine.io-client $(version engine.io-client)"
node --no-warnings run.js
