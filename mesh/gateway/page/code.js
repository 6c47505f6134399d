// Code to copy, with the address of this hub in it.

import { $, element } from './dom.js'
import { hub, module } from './hub.js'

const quote = JSON.stringify

export function showCode (client) {
  const copied = $('copied')
  let shown
  client.onState(({ hub }) => hub && show(hub.node))
  show(false)

  function show (node) {
    if (shown === node) return
    shown = node
    $('snippets').replaceChildren(...snippets(node).map(([title, code, note], i) => {
      const pre = element('pre', { tabIndex: 0, ariaLabel: `Code for ${title}` }, element('code', {}, code))
      pre.setAttribute('role', 'region')
      const button = element('button', { type: 'button', ariaLabel: `Copy the code for ${title}` }, 'Copy')
      button.addEventListener('click', async () => {
        const done = await copy(pre, code)
        copied.textContent = done ? `The code for ${title} is copied.` : 'The browser does not allow the page to copy. The code is selected.'
      })
      const details = element('details', { open: i === 0 }, element('summary', {}, title), element('div', { className: 'snippet' }, pre, button))
      if (note) details.append(element('p', { className: 'hint' }, note))
      return details
    }))
  }
}

// copy falls back to a selection: pages loaded by plain http have no clipboard.
async function copy (pre, code) {
  try {
    await navigator.clipboard.writeText(code)
    return true
  } catch (error) {
    getSelection().selectAllChildren(pre)
    return document.execCommand('copy')
  }
}

function snippets (node) {
  const { url } = hub
  const plain = url.pathname === '/engine.io/' ? url.origin : url.href
  const port = Number(url.port) || (url.protocol === 'https:' ? 443 : 80)
  const usual = url.protocol === 'http:' && url.pathname === '/engine.io/'
  const where = hub.own && !node ? 'connect()' : `connect({ url: ${quote(plain)} })`
  return [
    ['Go', `node, err := mesh.Connect(ctx, &mesh.Options{Addr: ${quote(plain)}})
if err != nil {
\tlog.Fatal(err)
}
defer node.Close()
node.On("myEvent", func(e mesh.Event) { fmt.Println(e.Name, string(e.Payload)) })
err = node.Emit("myEvent", map[string]int{"n": 1})
`],
    ['Node.js', `const Mesh = require('resource-mesh/lib/Mesh')

const mesh = new Mesh()
mesh.connect({ host: ${quote(url.hostname)}, port: ${port} }, function (error) {
  if (error) throw error
  mesh.emitter.on('myEvent', payload => console.log(payload))
  mesh.emitter.emit('myEvent', { n: 1 })
})
`, usual ? '' : 'The library of the original mesh supports neither https nor a path other than /engine.io/, so it cannot reach this hub.'],
    ['Browser', `<script type="module">
  import { connect } from ${quote(module)}

  const node = ${where}
  node.on('myEvent', payload => console.log(payload))
  node.emit('myEvent', { n: 1 })
</script>
`, node ? '' : 'A hub admits pages of other origins only if they are in Options.AllowedOrigins.']
  ]
}
