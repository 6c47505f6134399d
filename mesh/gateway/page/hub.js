// Where the page's hub is: in the page's address, as ?hub=URL, else at the server that the page comes from.

import { visible } from './dom.js'

// parse returns the URL of what people write: with or without http://. It throws if it is none.
export function parse (text) {
  const written = text.trim().replace(/^ws(?=s?:\/\/)/i, 'http')
  const url = new URL(/^\.?\/|^https?:\/\//i.test(written) ? written : 'http://' + written, location)
  if (url.username || url.password) throw new Error('user and password do not belong there')
  if (!url.port && url.protocol === 'http:' && !/^(\.?\/|https?:)/i.test(written)) url.port = '8888' // as mesh.Options.Addr
  return url
}

const named = new URLSearchParams(location.search).get('hub')
const files = new URL('..', import.meta.url)

// hub has its URL and whether the page comes from it, or else what is wrong with its address.
export const hub = (function () {
  try {
    const url = named ? parse(named) : new URL('./engine.io/', files)
    if (url.pathname === '/') url.pathname = '/engine.io/'
    return { url, own: url.origin === location.origin }
  } catch (error) {
    return { error: 'The page’s address names no hub: ?hub=' + visible(named) }
  }
})()

// module is where others find the client for browsers.
export const module = new URL('mesh.mjs', files).href
