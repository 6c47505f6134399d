#!/usr/bin/env bash
# Apache 2.4.71 with "ProxyPass / http://… upgrade=websocket", with Timeout and ProxyTimeout. Neither side of the WebSocket sends anything.
#
# Guess: ProxyTimeout, "the network timeout for proxied requests", decides, and Timeout is only its default. So ProxyTimeout 2 cuts a silent
#   WebSocket after 2 s, as it cuts a response that does not come.
# Behaviour: the longer one of the two decides. ProxyTimeout can lengthen the life of a silent WebSocket and never shorten it; the same
#   setting does shorten the wait for a response of the same ProxyPass (502 after 2 s).
# Output seen with Apache 2.4.71 (Debian 12) and Node.js 20:
#   Timeout 60, ProxyTimeout 2: WebSocket lives, response 502 after 2 s
#   Timeout 2, ProxyTimeout 60: WebSocket lives, response lives
#   Timeout 2: WebSocket cut after 2 s, response 502 after 2 s
#
# Needs: node, apache2.
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

// webSocket opens a WebSocket through a proxy. Every 400 ms one side, or neither, sends a frame. webSocket returns how long the WebSocket lives.
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

const apache = lines => (port, back) => {
  const root = fs.mkdtempSync(process.cwd() + '/apache')
  fs.writeFileSync(root + '/conf', `ServerRoot ${root}
ServerName 127.0.0.1
DefaultRuntimeDir ${root}
PidFile ${root}/pid
ErrorLog ${root}/error.log
User www-data
Group www-data
${['mpm_event', 'authz_core', 'proxy', 'proxy_http'].map(m => `LoadModule ${m}_module /usr/lib/apache2/modules/mod_${m}.so`).join('\n')}
Listen 127.0.0.1:${port}
ProxyPass / http://127.0.0.1:${back}/ upgrade=websocket
${lines.join('\n')}
`)
  return spawn('apache2', ['-X', '-f', root + '/conf'], { stdio: 'ignore' })
}

// response requests a resource for which the server never sends a response.
async function response (start) {
  const origin = http.createServer(() => {}).listen(0, '127.0.0.1')
  await once(origin, 'listening')
  const port = await freePort()
  const proxy = start(port, origin.address().port)
  await listening(port)
  const begin = Date.now()
  const request = http.get({ port, host: '127.0.0.1', path: '/poll' }).on('error', () => {})
  const got = await new Promise(resolve => {
    request.on('response', r => resolve(`${r.statusCode} after ${Math.round((Date.now() - begin) / 1000)} s`))
    setTimeout(() => resolve('lives'), limit)
  })
  request.destroy()
  proxy.kill('SIGKILL')
  origin.closeAllConnections()
  origin.close()
  return got
}

(async () => {
  const got = []
  for (const lines of [['Timeout 60', 'ProxyTimeout 2'], ['Timeout 2', 'ProxyTimeout 60'], ['Timeout 2']]) {
    const [socket, answer] = [await webSocket(apache(lines)), await response(apache(lines))]
    console.log(`${lines.join(', ')}: WebSocket ${socket}, response ${answer}`)
    got.push(socket !== 'lives', answer !== 'lives')
  }
  const same = got.join() === 'false,true,false,false,true,true'
  console.log(same ? 'as expected' : 'THE BEHAVIOUR HAS CHANGED')
  process.exit(same ? 0 : 1)
})()
JS
apache2 -v | head -1
node run.js
