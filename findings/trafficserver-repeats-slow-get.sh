#!/usr/bin/env bash
# Traffic Server 9.2 in front of a server that holds a GET, as long-polling does, for longer than
# proxy.config.http.transaction_no_activity_timeout_out (here 2 s, default 30 s).
#
# Guess: after 2 s the client gets 504, and the server has seen one request, as with nginx, Apache, h2o, lighttpd and Varnish.
# Behaviour: Traffic Server sends the GET again each time, on a new connection, and the client gets 504 only when the fourth request
#   has got no response either. proxy.config.http.connect_attempts_max_retries (default 3) sets the number of repetitions, although each
#   attempt connected: with 0 the server sees one request. A POST is not repeated.
# Why it matters: a server of Engine.IO takes the second poll of a session for a fault and ends the session. The heartbeat of 25 s
#   keeps a poll below the default of 30 s.
# Output seen with Traffic Server 9.2.9 (Debian 12) and Node.js 20:
#   retries default, GET: 504 after 11 s, the server saw 4 requests
#   retries 0, GET: 504 after 3 s, the server saw 1 requests
#   retries default, POST: 504 after 3 s, the server saw 1 requests
#
# Needs: node, traffic_server (Debian's package trafficserver).
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

const freePort = async () => {
  const s = net.createServer().listen(0, '127.0.0.1')
  await once(s, 'listening')
  const { port } = s.address()
  s.close()
  await once(s, 'close')
  return port
}

async function run (retries, method) {
  const root = fs.mkdtempSync(process.cwd() + '/ats')
  const port = await freePort()
  let seen = 0
  const origin = http.createServer(() => seen++).listen(0, '127.0.0.1') // it never answers
  await once(origin, 'listening')
  for (const d of ['etc', 'run', 'log', 'cache']) fs.mkdirSync(`${root}/${d}`)
  const lines = [
    `http.server_ports STRING ${port}:ip-in=127.0.0.1`, 'http.cache.http INT 0', 'admin.user_id STRING #-1',
    'http.transaction_no_activity_timeout_out INT 2'
  ]
  if (retries !== undefined) lines.push('http.connect_attempts_max_retries INT ' + retries)
  const files = {
    'etc/records.config': lines.map(l => `CONFIG proxy.config.${l}\n`).join(''),
    'etc/remap.config': `map / http://127.0.0.1:${origin.address().port}/\n`,
    'etc/ip_allow.yaml': 'ip_allow:\n  - apply: in\n    ip_addrs: 127.0.0.1\n    action: allow\n    methods: ALL\n',
    'etc/storage.config': '',
    'etc/plugin.config': '',
    'runroot.yaml': ['prefix: ' + root, 'exec_prefix: /usr', 'bindir: /usr/bin', 'sbindir: /usr/bin', `sysconfdir: ${root}/etc`,
      'datadir: /usr/share/trafficserver', 'includedir: /usr/include', 'libdir: /usr/lib/trafficserver',
      'libexecdir: /usr/lib/trafficserver/modules', `localstatedir: ${root}/run`, `runtimedir: ${root}/run`, `logdir: ${root}/log`,
      `cachedir: ${root}/cache`].join('\n') + '\n'
  }
  for (const [name, text] of Object.entries(files)) fs.writeFileSync(`${root}/${name}`, text)
  const proxy = spawn('traffic_server', [`--run-root=${root}/runroot.yaml`], { stdio: 'ignore' })
  for (;;) { // until it listens
    const c = net.connect(port, '127.0.0.1')
    const ok = await Promise.race([once(c, 'connect').then(() => true), once(c, 'error').then(() => false, () => false)]).catch(() => false)
    c.destroy()
    if (ok) break
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  const start = Date.now()
  const request = http.request({ port, host: '127.0.0.1', path: '/poll', method })
  request.end(method === 'POST' ? 'x' : undefined)
  const [response] = await once(request, 'response')
  const seconds = Math.round((Date.now() - start) / 1000)
  response.destroy()
  proxy.kill('SIGKILL')
  origin.closeAllConnections()
  origin.close()
  console.log(`retries ${retries ?? 'default'}, ${method}: ${response.statusCode} after ${seconds} s, the server saw ${seen} requests`)
  return response.statusCode === 504 ? seen : -1
}

(async () => {
  const got = [await run(undefined, 'GET'), await run(0, 'GET'), await run(undefined, 'POST')]
  const same = got.join() === '4,1,1'
  console.log(same ? 'as expected' : 'THE BEHAVIOUR HAS CHANGED')
  process.exit(same ? 0 : 1)
})()
JS
traffic_server -V 2>&1 | head -1
node run.js
