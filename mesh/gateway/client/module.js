const script = import.meta.url
CLIENT
export function connect (options, callback) {
	return client().connect(options, callback)
}
