// client is a node of a mesh: see mesh.d.ts.
function client () {
	const key = random()
	const listeners = new Set()
	const anys = new Set()
	const watchers = new Set()
	const warned = new Map() // by rule
	const queue = []
	let queued = 0
	let attempt = 0
	let conn = 0 // the number of connections so far
	let options, url, auth, callback, current, hub, timer, stale, away

	const self = {
		id: '',

		connect (o, fn) {
			const all = Object.assign({ transports: ['polling', 'websocket'] }, o)
			if (/[^!-~]/.test(all.token || '')) throw fail('invalid token', 'token')
			if (typeof WebSocket !== 'function') all.transports = all.transports.filter(t => t === 'polling') // Node.js before 22
			if (!all.transports.length) throw fail('there is no WebSocket here: use polling')
			url = locate(all)
			self.close()
			options = all
			auth = { user: all.user, password: all.password }
			callback = fn
			watch('add')
			dial()
			return self
		},

		close () {
			watch('remove')
			leave()
		},

		on (name, fn, once) {
			if (!isHubs(name) && !allowed(name, true)) throw fail('invalid name or pattern: ' + name, 'name')
			listeners.add({ name, fn, once, parts: name.split('::') })
			return announce()
		},

		once: (name, fn) => self.on(name, fn, true),

		off (name, fn) {
			for (const l of listeners) if (l.name === name && (!fn || l.fn === fn)) listeners.delete(l)
			return announce()
		},

		onAny: fn => (anys.add(fn), self),
		offAny: fn => (anys.delete(fn), self),
		onState: fn => (watchers.add(fn), self),
		offState: fn => (watchers.delete(fn), self),

		emit (name, payload) {
			const event = { event: name, payload, from: self.id }
			if (isHubs(name)) {
				if (!hub || hub.node) throw fail('no hub to ask for ' + name, 'no-hub')
				current.send('4' + ascii({ event: name, payload }))
				return true
			}
			if (!allowed(name)) throw fail('invalid name: ' + name, 'name')
			const entry = { name: ascii(name), payload: ascii(payload) }
			entry.size = entry.name.length + entry.payload.length + 256 // more than the packet takes, without credentials
			if (entry.size > LARGEST) throw fail(name + ' is larger than 1 MB', 'too-large')
			if (queued + entry.size + (current ? current.waiting() : 0) > QUEUE) throw fail('the queue is full', 'queue-full')
			queue.push(entry)
			queued += entry.size
			if (current) current.flush()
			for (const fn of anys) call(fn, event)
			hear(event)
			return true
		}
	}
	self.emitter = self // the original has it there
	report('disconnected')
	return self

	function watch (how) {
		for (const type of ['offline', 'online', 'pagehide', 'pageshow']) listen(events, type)
		for (const type of ['freeze', 'resume', 'visibilitychange']) listen(events.document || {}, type)
		function listen (target, type) {
			if (target[how + 'EventListener']) target[how + 'EventListener'](type, turn)
		}
	}

	// turn handles a page that is left, frozen or offline, or that returns. A page that is left or frozen does not run,
	// but its connection would last, so the client closes it. When the network or the visibility returns, the client
	// proves its connection or dials at once: timers may have stopped in the meantime.
	function turn ({ type }) {
		const waits = !current && self.state.retry !== null
		if (type === 'pagehide' || type === 'freeze') {
			if (current || waits) leave(true)
		} else if (type === 'offline') {
			if (current) current.end(fail('the browser is offline'))
		} else if (type === 'visibilitychange' && events.document.hidden) {
			// The page continues to run.
		} else if (hub) {
			current.prove()
		} else if (away || waits || (current && type === 'online')) { // a current attempt may have begun without a network
			clearTimeout(timer)
			if (current) current.close(true)
			attempt = 0
			dial()
		}
	}

	function leave (page) {
		clearTimeout(timer)
		if (current) current.close(page)
		current = hub = null
		attempt = 0
		away = page
		report('disconnected')
	}

	function hear (event) {
		const parts = event.event.split('::')
		for (const l of [...listeners]) {
			if (!listeners.has(l) || isHubs(l.name) !== isHubs(event.event) || !matches(l.parts, parts)) continue
			if (l.once && listeners.delete(l)) announce()
			call(l.fn, event)
		}
	}

	// call sets this.event to the name, as the original does. An error of a listener becomes an uncaught error of the
	// page.
	function call (fn, event) {
		self.event = event.event
		try {
			fn.call(self, event.payload, event)
		} catch (error) {
			setTimeout(() => { throw error })
		}
	}

	// announce sends the subscriptions to the hub, once for all changes in a row.
	function announce () {
		stale = true
		Promise.resolve().then(() => current && current.flush())
		return self
	}

	function handshake (mesh) {
		const table = {}
		for (const { name, parts } of listeners) {
			if (isHubs(name)) continue
			table['mesh::' + name] = { remote: true }
			if (parts.length === 2) table[name] = { remote: true } // the original's hub looks for it there
		}
		const size = ascii(table).length
		const large = Object.keys(table).length > 4096 || size > 262144 // our hub would reject such a table, so the page asks it for all events
		stale = !hub && (large || size > 32768) // before it admits a node, our hub reads only little: the table follows
		const eventTable = stale ? {} : large && !hub.node ? { 'mesh::**': {} } : table
		return '4' + ascii({ event: 'handshake', payload: {}, eventTable, headers: { auth, mesh } })
	}

	// next returns the next packet for the hub. For the original's hub, a payload that is null or absent becomes {}.
	function next () {
		if (!hub) return
		if (stale) return handshake()
		const event = queue.shift()
		if (!event) return
		queued -= event.size
		const payload = hub.node && (!event.payload || event.payload === 'null') ? '{}' : event.payload
		const headers = hub.node ? ',"headers":' + ascii({ auth }) : ''
		return `4{"event":${event.name}${payload && ',"payload":' + payload}${headers}}`
	}

	function dial () {
		let known, refused
		away = false
		const s = current = session(url, options, {
			open ({ sid }) {
				known = { id: sid }
				return handshake({ v: 1, key, name: options.name, conn: ++conn })
			},

			next,

			message (text) {
				const { event, payload, from } = JSON.parse(text)
				if (event === '$mesh.hello') known = payload
				else if (event === '$mesh.unauthorized') s.end(refused = fail(payload.message, 'unauthorized'))
				else if (allowed(event) || (known.v && isHubs(event))) {
					if (event === '$mesh.refused') warn(payload)
					const id = known.v ? from : payload && payload.id
					hear({ event, payload, from: typeof id === 'string' ? id : '' })
				}
			},

			pong () {
				if (hub) return
				clearTimeout(timer)
				hub = { node: !known.v, id: known.hub || '', name: known.name || '' }
				self.id = known.id
				timer = setTimeout(() => { attempt = 0 }, 5000)
				s.flush()
				report('connected')
				done(null, { id: url.host, host: url.hostname, port: url.port, role: 'server', status: 'connected' })
			},

			upgrade: () => hub && report('connected'),

			end (error) {
				clearTimeout(timer)
				current = hub = null
				const retry = refused ? null : Math.ceil(Math.min(5000, 50 * Math.pow(2, attempt)) * (1 + Math.random()) / 2)
				if (!refused) timer = setTimeout(dial, retry)
				report('disconnected', error, retry)
				attempt++
				if (refused) done(error)
			}
		})
		timer = setTimeout(() => s.end(fail('nothing answers')), TIMEOUT)
		report('connecting')
	}

	// warn writes a report of rejected events, or of a rejected table, to the console, at most once a second for each rule.
	function warn ({ rule, event, count, message }) {
		const now = performance.now()
		if (now < warned.get(rule)) return
		warned.set(rule, now + 1000)
		console.warn(`mesh: the hub rejects ${event || 'listeners'}: ${message || rule} (${count} times)`)
	}

	function done (error, result) {
		const fn = callback
		callback = null
		if (fn) fn(error, result)
	}

	function report (status, error = null, retry = null) {
		const transport = status === 'connected' ? current.transport : ''
		self.state = { status, transport, hub, error, attempt, retry }
		for (const fn of watchers) call(fn, { event: 'state', payload: self.state })
	}
}
