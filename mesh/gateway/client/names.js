const QUEUE = 1 << 20 // bytes that may wait to be sent
const LARGEST = 1e6 // bytes of an event
const TIMEOUT = 15000 // milliseconds to connect in

const REPLY = 5000 // milliseconds for the reply that proves an old connection, and for the end of a session

// events are the global object of a page or worker, whose events say that the page or the network went or came back.
const events = typeof self === 'object' ? self : {}

// random returns 128 random bits. Node.js 18 has no global crypto, but it names each blob with a random UUID.
const random = () => typeof crypto === 'object' ? crypto.getRandomValues(new Uint32Array(4)).join('-') : URL.createObjectURL(new Blob([]))

const fail = (text, code = 'transport') => Object.assign(new Error('mesh: ' + text), { code })

// ascii is JSON that both encodings of text in Engine.IO's revision 3 leave as it is.
const ascii = value => (JSON.stringify(value) || '').replace(/[\u007f-\uffff]/g,
	c => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'))

// isHubs tells the names of what a hub itself says and is asked.
const isHubs = name => /^\$mesh\.[^:]*$/.test(name)

// allowed tells the names that may be emitted, or names and patterns that may be listened to.
function allowed (name, listen) {
	return typeof name === 'string' && name && new TextEncoder().encode(name).length <= 512 &&
		!/[\ud800-\udfff]/u.test(name) && !/^(handshake|newListener|mesh|\$((?!::)[^])*)$|^mesh::/.test(name) &&
		name.split('::', 33).length < 33 && name.split('::').every(part => !part.includes('*') || (listen && /^\*\*?$/.test(part)))
}

// matches: * is any one part, ** any number. Each ** multiplies the work, but patterns are the page's own.
function matches (pattern, parts, i = 0, j = 0) {
	if (i === pattern.length) return j === parts.length
	if (pattern[i] === '**' && matches(pattern, parts, i + 1, j)) return true
	if (j === parts.length) return false
	if (pattern[i] === '**') return matches(pattern, parts, i, j + 1)
	return (pattern[i] === '*' || pattern[i] === parts[j]) && matches(pattern, parts, i + 1, j + 1)
}

// locate returns the hub's address. What the options leave open is as at the server of this script.
function locate ({ url, host, port, path, secure }) {
	const own = new URL(script)
	const u = new URL(url || own.searchParams.get('hub') || (own.host ? './engine.io/' : 'http://localhost:8888'), own)
	if (host) u.host = host
	if (port) u.port = port
	if (secure !== undefined) u.protocol = secure ? 'https' : 'http'
	return new URL('/' + ((path || u.pathname).replace(/^\/|\/$/g, '') || 'engine.io') + '/', u)
}
