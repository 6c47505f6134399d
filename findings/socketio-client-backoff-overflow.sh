#!/usr/bin/env bash
# socket.io-client 4.8.4 whose server is away for a long time.
#
# Guess: the pause between attempts to reconnect doubles up to reconnectionDelayMax, and stays there for as long as the server is away. It
#   stays random by randomizationFactor, 0.5, so that clients do not return at the same moment.
# Behaviour: the limit applies after the random part. From the fifth attempt on, each pause is exactly the limit, so clients that lost their
#   server together call it together. After some 1,020 attempts in a row, 85 minutes with the defaults, half of all pauses are 0. The pause before the limit is
#   reconnectionDelay * 2^attempts, which becomes Infinity; the random part then makes NaN of half of them, and NaN counts as 0. From
#   then on a client makes about twice as many attempts, many of them one directly after the other. With randomizationFactor 0 the
#   pause stays at the limit.
# Output seen with Node.js 20 (reconnectionDelay 1 ms and reconnectionDelayMax 20 ms make the run short):
#   attempts 100 to 1000: 0 of 900 pauses below 10 ms
#   attempts 1030 to 1330: 151 of 300 pauses below 10 ms
#   the pauses that the client draws after 10 attempts, with its default options: 5000 ms
#   the pauses that the client draws after 2000 attempts, with its default options: 0 ms or 5000 ms
#
# Needs: node, npm. Takes half a minute.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts socket.io-client@4.8.4
cat > run.js <<'JS'
const net = require('net')
const { io, Manager } = require('socket.io-client')

const reserved = net.createServer().listen(0, '127.0.0.1', () => {
  const { port } = reserved.address()
  reserved.close(() => measure(`http://127.0.0.1:${port}`)) // nothing listens there now
})

function measure (url) {
  const socket = io(url, { reconnectionDelay: 1, reconnectionDelayMax: 20, transports: ['websocket'] })
  const pauses = []
  let failed
  socket.io.on('reconnect_error', () => { failed = process.hrtime.bigint() })
  socket.io.on('reconnect_attempt', n => {
    if (failed) pauses[n] = Number(process.hrtime.bigint() - failed) / 1e6
    if (n < 1330) return
    socket.close()
    const short = (from, to) => pauses.slice(from, to).filter(ms => ms < 10).length
    const before = short(100, 1000)
    const after = short(1030, 1330)
    console.log(`attempts 100 to 1000: ${before} of 900 pauses below 10 ms`)
    console.log(`attempts 1030 to 1330: ${after} of 300 pauses below 10 ms`)
    const manager = new Manager(url, { autoConnect: false })
    const drawAfter = attempts => {
      const drawn = new Set()
      for (let i = 0; i < 200; i++) {
        manager.backoff.attempts = attempts
        drawn.add(manager.backoff.duration())
      }
      const list = [...drawn].sort((a, b) => a - b)
      console.log(`the pauses that the client draws after ${attempts} attempts, with its default options: ${list.map(ms => ms + ' ms').join(' or ')}`)
      return list.join()
    }
    const same = before === 0 && after > 90 && after < 210 && drawAfter(10) === '5000' && drawAfter(2000) === '0,5000'
    console.log(same ? 'as expected' : 'THE BEHAVIOUR HAS CHANGED')
    process.exit(same ? 0 : 1)
  })
}
JS
echo "node $(node --version), socket.io-client $(node -p "JSON.parse(fs.readFileSync('node_modules/socket.io-client/package.json')).version")"
node run.js
