;(function () {
'use strict'
const script = (self.document && document.currentScript && document.currentScript.src) || location.href
CLIENT
let used
const mesh = self.mesh = {
	emitter: client(),
	connect (options, callback) {
		if (used) mesh.emitter = client()
		used = true
		return mesh.emitter.connect(options, callback)
	}
}
mesh.start = mesh.connect
})()
