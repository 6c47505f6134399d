#!/usr/bin/env bash
# lighttpd 1.4.69 with mod_proxy and "upgrade" => "enable". One side of a WebSocket sends a frame every 400 ms, the other side only
# receives. server.max-read-idle or server.max-write-idle is 2 s (defaults: 60 s and 360 s).
#
# Guess: a WebSocket in use is not idle. max-write-idle is for a client that does not read: it does not apply while there is nothing to write.
# Behaviour: each direction has its own clock. max-read-idle cuts a WebSocket on which only the server sends, and max-write-idle cuts
#   a WebSocket on which only the client sends, or neither side. nginx, Apache, h2o, Varnish and Traffic Server count both directions together.
# Why it matters: with the defaults, an application with pushes alone, or uploads alone, is cut after 60 or 360 s. A heartbeat of Engine.IO
#   crosses in both directions.
# Output seen with lighttpd 1.4.69 (Debian 12) and Node.js 20:
#   server.max-read-idle = 2: the server talks: cut after 3 s; the client talks: lives
#   server.max-write-idle = 2: the server talks: lives; the client talks: cut after 3 s
#
# Needs: node, lighttpd.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat > run.js <<'JS'
const fs = require('fs')
const http = require('http')
const net = require('net')
const { spawn } = require('child_process')
const { once } = require('events')

const limit = 6000 // ms for which a connection is watched

const freePort = async () => {
  const s = net.createServer().listen(0, '127.0.0.1')
  await once(s, 'listening')
  const { port } = s.address()
  s.close()
  await once(s, 'close')
  return port
}

async function listening (port) {
  for (;;) {
    const c = net.connect(port, '127.0.0.1')
    const ok = await new Promise(resolve => c.on('connect', () => resolve(true)).on('error', () => resolve(false)))
    c.destroy()
    if (ok) return
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}

// webSocket opens a WebSocket through a proxy. Every 400 ms one side, or neither, sends a frame. It returns how long it lives.
async function webSocket (start, talker) {
  const origin = http.createServer((q, r) => {}).on('upgrade', (q, socket) => { // a GET without an upgrade is never answered
    socket.on('error', () => {}).on('data', () => {})
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n')
    if (talker === 'server') every(socket, Buffer.from([0x81, 1, 120]))
  }).listen(0, '127.0.0.1')
  await once(origin, 'listening')
  const port = await freePort()
  const proxy = start(port, origin.address().port)
  await listening(port)
  const socket = net.connect(port, '127.0.0.1').on('error', () => {})
  socket.write(`GET / HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`)
  const [head] = await once(socket, 'data')
  if (!/ 101 /.test(head)) throw new Error('no WebSocket: ' + head)
  socket.on('data', () => {})
  if (talker === 'client') every(socket, Buffer.from([0x81, 0x81, 0, 0, 0, 0, 120]))
  const begin = Date.now()
  const timer = setTimeout(() => socket.destroy(), limit)
  await once(socket, 'close')
  clearTimeout(timer)
  const took = Date.now() - begin
  proxy.kill('SIGKILL')
  origin.closeAllConnections()
  origin.close()
  return took < limit - 500 ? `cut after ${Math.round(took / 1000)} s` : 'lives'
}

function every (socket, frame) {
  const timer = setInterval(() => socket.write(frame), 400)
  socket.on('close', () => clearInterval(timer))
}

const lighttpd = setting => (port, back) => {
  const root = fs.mkdtempSync(process.cwd() + '/lighttpd')
  fs.writeFileSync(root + '/conf', `server.modules = ( "mod_proxy" )
server.bind = "127.0.0.1"
server.port = ${port}
server.document-root = "${root}"
${setting} = 2
proxy.server = ( "" => (( "host" => "127.0.0.1", "port" => ${back} )) )
proxy.header = ( "upgrade" => "enable" )
`)
  return spawn('lighttpd', ['-D', '-f', root + '/conf'], { stdio: 'ignore' })
}

(async () => {
  const cut = []
  for (const setting of ['server.max-read-idle', 'server.max-write-idle']) {
    const [server, client] = [await webSocket(lighttpd(setting), 'server'), await webSocket(lighttpd(setting), 'client')]
    console.log(`${setting} = 2: the server talks: ${server}; the client talks: ${client}`)
    cut.push(server !== 'lives', client !== 'lives')
  }
  const same = cut.join() === 'true,false,false,true'
  console.log(same ? 'as expected' : 'THE BEHAVIOUR HAS CHANGED')
  process.exit(same ? 0 : 1)
})()
JS
lighttpd -v | head -1
node run.js
