#!/usr/bin/env bash
# engine.io 6.6.13 with ws 8.23.0: a server sends messages, then calls close(). The client reads steadily, but slowly.
#
# Guess: close() delivers all queued messages first, since the client makes progress all the time.
# Behaviour: ws starts a timer of 30 s when close() is called, and then destroys the connection. Messages that still wait
#   are lost. engine.io reports "forced close" on the server at once, and never calls the callbacks of send(). The client gets
#   1006 instead of the server's close code.
# Output seen with Node.js 20 (the count depends on the machine):
#   server: close event "forced close", 0 of 600 callbacks of send()
#   client: close code 1006 after 33 s, 463 of 600 messages
#
# Needs: node, npm. Takes 35 s.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts engine.io@6.6.13 ws@8.23.0
cat > run.js <<'JS'
const http = require('http')
const engine = require('engine.io')
const { WebSocket } = require('ws')

const count = 600
const seen = { callbacks: 0, messages: 0 }
const server = http.createServer()
const io = engine.attach(server, { transports: ['websocket'], pingInterval: 300000 })
io.on('connection', socket => {
  for (let i = 0; i < count; i++) socket.send(Buffer.alloc(100000), () => seen.callbacks++)
  socket.close()
  socket.on('close', reason => {
    seen.reason = reason
    console.log(`server: close event "${reason}", ${seen.callbacks} of ${count} callbacks of send()`)
  })
})
server.listen(0, '127.0.0.1', () => {
  const start = Date.now()
  const client = new WebSocket(`ws://127.0.0.1:${server.address().port}/engine.io/?EIO=4&transport=websocket`)
  client.on('message', (data, binary) => {
    if (!binary || ++seen.messages % 10) return
    client.pause()
    setTimeout(() => client.resume(), 700) // about 1.4 MB a second: all messages would take 42 s
  })
  client.on('close', code => {
    const seconds = Math.round((Date.now() - start) / 1000)
    console.log(`client: close code ${code} after ${seconds} s, ${seen.messages} of ${count} messages`)
    const same = code === 1006 && seen.messages > 100 && seen.messages < count && seen.reason === 'forced close' && seen.callbacks === 0
    console.log(same ? 'as expected' : 'THE BEHAVIOUR HAS CHANGED')
    process.exit(same ? 0 : 1)
  })
})
JS
echo "node $(node --version), engine.io $(node -p "JSON.parse(fs.readFileSync('node_modules/engine.io/package.json')).version"), ws $(node -p "require('ws/package.json').version")"
node run.js
