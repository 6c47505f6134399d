// The address of the page's hub: ?hub=URL in the page's address, otherwise the server of the page.

import { visible } from './dom.js'

// parse returns the URL that a user wrote, with or without http://. It throws if the text is not a URL.
export function parse (text) {
  const written = text.trim().replace(/^ws(?=s?:\/\/)/i, 'http')
  const url = new URL(/^\.?\/|^https?:\/\//i.test(written) ? written : 'http://' + written, location)
  if (url.username || url.password) throw new Error('user and password do not belong there')
  if (!url.port && url.protocol === 'http:' && !/^(\.?\/|https?:)/i.test(written)) url.port = '8888' // as in mesh.Options.Addr
  return url
}

const named = new URLSearchParams(location.search).get('hub')
const files = new URL('..', import.meta.url)

// hub has the hub's URL and whether the page comes from that server, or the error of its address.
export const hub = (function () {
  try {
    const url = named ? parse(named) : new URL('./engine.io/', files)
    if (url.pathname === '/') url.pathname = '/engine.io/'
    return { url, own: url.origin === location.origin }
  } catch (error) {
    return { error: 'The page’s address names no hub: ?hub=' + visible(named) }
  }
})()

// module is the address of the client for other pages.
export const module = new URL('mesh.mjs', files).href
