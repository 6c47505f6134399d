const QUEUE = 1 << 20 // bytes that may wait in the queue
const LARGEST = 1e6 // bytes of one event
const TIMEOUT = 15000 // milliseconds to connect

const REPLY = 5000 // milliseconds for the reply that proves an old connection, and for the end of a session

// events is the global object of a page or worker. Its events report that the page or the network has gone or returned.
const events = typeof self === 'object' ? self : {}

// random returns 128 random bits. Node.js 18 has no global crypto, but it names each blob with a random UUID.
const random = () => typeof crypto === 'object' ? crypto.getRandomValues(new Uint32Array(4)).join('-') : URL.createObjectURL(new Blob([]))

const fail = (text, code = 'transport') => Object.assign(new Error('mesh: ' + text), { code })

// ascii returns JSON that both text encodings of Engine.IO's revision 3 leave unchanged.
const ascii = value => (JSON.stringify(value) || '').replace(/[\u007f-\uffff]/g,
	c => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'))

// isHubs reports whether a name is for messages between a node and the hub itself.
const isHubs = name => /^\$mesh\.[^:]*$/.test(name)

// allowed reports whether a node may emit an event of this name, or with listen, subscribe to this name or pattern.
function allowed (name, listen) {
	return typeof name === 'string' && name && new TextEncoder().encode(name).length <= 512 &&
		!/[\ud800-\udfff]/u.test(name) && !/^(handshake|newListener|mesh|\$((?!::)[^])*)$|^mesh::/.test(name) &&
		name.split('::', 33).length < 33 && name.split('::').every(part => !part.includes('*') || (listen && /^\*\*?$/.test(part)))
}

// matches reports whether a pattern matches a name: * is any one part, ** any number of parts. Each ** multiplies the
// work, but the patterns are the page's own.
function matches (pattern, parts, i = 0, j = 0) {
	if (i === pattern.length) return j === parts.length
	if (pattern[i] === '**' && matches(pattern, parts, i + 1, j)) return true
	if (j === parts.length) return false
	if (pattern[i] === '**') return matches(pattern, parts, i, j + 1)
	return (pattern[i] === '*' || pattern[i] === parts[j]) && matches(pattern, parts, i + 1, j + 1)
}

// locate returns the hub's address. Parts that the options omit are those of this script's server.
function locate ({ url, host, port, path, secure }) {
	const own = new URL(script)
	const u = new URL(url || own.searchParams.get('hub') || (own.host ? './engine.io/' : 'http://localhost:8888'), own)
	if (host) u.host = host
	if (port) u.port = port
	if (secure !== undefined) u.protocol = secure ? 'https' : 'http'
	return new URL('/' + ((path || u.pathname).replace(/^\/|\/$/g, '') || 'engine.io') + '/', u)
}
