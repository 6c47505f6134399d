// unpack splits a poll's response into packets. Our hubs write LENGTH:PACKET in ASCII. The original writes bytes for
// the digits of the length, and 255 for the colon.
function unpack (bytes) {
	const packets = []
	for (let i = 0; !i || i < bytes.length;) {
		const binary = bytes[i] < 2
		const start = 1 + bytes.indexOf(binary ? 255 : 58, i)
		const end = start + Number(Array.from(bytes.subarray(i + binary, start - 1), b => b % 48).join(''))
		if (!start || !(end > start && end <= bytes.length)) throw fail('the server is not a hub')
		packets.push(new TextDecoder().decode(bytes.subarray(start, end)))
		i = end
	}
	return packets
}

// session is a session of Engine.IO, revision 3. It reports to its owner, and sends the packets that owner.next
// returns.
function session (url, { transports, token }, owner) {
	const abort = new AbortController()
	const out = [] // sent before the owner's packets
	const busy = {}
	let hello, timer, probing, probe, ready, socket, leaving, ended
	const self = {
		transport: transports[0],
		waiting: () => socket ? socket.bufferedAmount : 0,
		send,
		flush,
		end,
		prove () { // checks that the hub still replies
			clearTimeout(timer)
			ping(REPLY)
		},
		close (page) { // closes after the queued packets are sent, or at once if the user leaves the page
			leaving = true
			clearTimeout(timer)
			timer = setTimeout(() => end(fail('the hub is silent')), REPLY)
			if (hello && (socket || !page)) flush()
			else end()
		}
	}
	Promise.resolve().then(() => ended || (self.transport === 'polling' ? poll() : use(dial()))).catch(end)
	return self

	// at includes the token only where there can be no header: in the request that opens a session by WebSocket.
	function at (transport) {
		const secret = token && transport === 'websocket' ? '&token=' + encodeURIComponent(token) : ''
		return `${url}?EIO=3&transport=${transport}${hello ? '&sid=' + hello.sid : secret}`
	}

	function dial () {
		return new WebSocket(at('websocket').replace('http', 'ws'))
	}

	// run makes GETs or POSTs, one after the other, but none while a WebSocket waits for them to end.
	async function run (method, next) {
		if (busy[method]) return
		busy[method] = true
		try {
			for (let body; !ended && !ready && (body = next()) !== '';) {
				const headers = token && !hello ? { Authorization: 'Bearer ' + token } : {}
				const redirect = hello ? 'error' : 'follow'
				const answer = await fetch(at('polling'), { method, body, headers, redirect, cache: 'no-store', signal: abort.signal })
				if (answer.redirected) follow(answer.url)
				if (!answer.ok) throw fail('the hub answered ' + answer.status)
				const bytes = await answer.arrayBuffer()
				if (!body) unpack(new Uint8Array(bytes)).forEach(receive)
			}
		} catch (error) {
			end(error)
		}
		busy[method] = false
		move()
	}

	// follow adopts the address to which the first request was redirected. It rejects another host, so that the
	// credentials stay with the host that the user named.
	function follow (to) {
		const [from, next] = [new URL(url), new URL(to)]
		const address = next.origin + next.pathname
		if (next.hostname !== from.hostname || next.protocol < from.protocol) throw fail('the hub redirects to ' + address)
		url = address
	}

	function poll () {
		run('GET', () => undefined)
	}

	function next () {
		return out.shift() || owner.next()
	}

	function batch () {
		let body = ''
		for (let packet; (packet = next());) {
			const part = packet.length + ':' + packet
			if (body && body.length + part.length > (hello.maxPayload || LARGEST)) {
				out.unshift(packet)
				break
			}
			body += part
		}
		if (!body && leaving) end()
		return body
	}

	function flush () {
		if (ended || !hello) return
		if (!socket) return run('POST', batch)
		for (let packet; socket.readyState === 1 && (packet = next());) socket.send(packet)
		if (leaving) end()
	}

	function send (packet) {
		out.push(packet)
		flush()
	}

	function receive (packet) {
		const data = packet.slice(1)
		if (ended || leaving) return
		if (packet[0] === '0' && !hello) open(JSON.parse(data))
		if (packet[0] === '1') end(fail('the hub closed'))
		if (packet[0] === '3') {
			clearTimeout(timer)
			timer = setTimeout(ping, hello.pingInterval)
			owner.pong()
		}
		if (packet[0] === '4') owner.message(data)
	}

	function open (packet) {
		hello = packet
		out.push(owner.open(hello))
		ping() // its reply comes after all of the hub's messages about this handshake
		if (!socket && transports.includes('websocket') && hello.upgrades.includes('websocket')) upgrade()
	}

	function ping (patience = hello.pingTimeout) {
		timer = setTimeout(() => end(fail('the hub is silent')), patience)
		send('2')
	}

	// upgrade tries a WebSocket. If it does not get through, polling goes on.
	function upgrade () {
		probe = dial()
		probing = setTimeout(() => probe.close(), TIMEOUT)
		probe.onopen = () => probe.send('2probe')
		probe.onmessage = ({ data }) => {
			ready = data === '3probe'
			move()
		}
		probe.onclose = probe.onerror = () => { // some environments other than browsers have only one of the two events
			clearTimeout(probing)
			ready = false
			poll()
			flush()
		}
	}

	function move () {
		if (!ready || busy.GET || busy.POST || ended || probe.readyState !== 1) return
		ready = false
		probe.send('5')
		use(probe)
		if (!leaving) owner.upgrade()
	}

	function use (webSocket) {
		clearTimeout(probing)
		socket = webSocket
		self.transport = 'websocket'
		socket.onmessage = ({ data }) => receive(data)
		socket.onclose = socket.onerror = ({ code }) => end(fail('the WebSocket closed, code ' + (code || 1006)))
		flush()
	}

	function end (error) {
		if (ended) return
		ended = true
		clearTimeout(timer)
		clearTimeout(probing)
		for (const s of [probe, socket]) {
			if (!s) continue
			s.onclose = s.onerror = () => {}
			s.close()
		}
		if (leaving && !error && hello && !socket) { // there may be no open poll whose end the hub would notice
			timer = setTimeout(stop, REPLY)
			fetch(at('polling'), { method: 'POST', body: '1:1', keepalive: true, signal: abort.signal }).then(stop, stop)
		} else stop()
		if (!leaving) owner.end(error)
	}

	function stop () {
		clearTimeout(timer)
		abort.abort()
	}
}
