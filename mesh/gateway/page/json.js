// fault returns a text with the first fault that makes text invalid JSON, and its place, or null for valid JSON. The
// messages of JSON.parse differ between browsers, and some have no place.

const DEEPEST = 510 // the maximum number of levels at a hub

const at = (text, i) => {
  const before = text.slice(0, i).split('\n')
  return `line ${before.length}, character ${[...before[before.length - 1]].length + 1}`
}

class Fault extends Error {}

export function fault (text) {
  let i = 0
  try {
    space()
    value(1)
    if (i < text.length) fail('there is text after the end of the value')
    return null
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    return error.message
  }

  function fail (why, place = i) {
    throw new Fault(`${at(text, place)}: ${why}`)
  }

  function space () {
    while (i < text.length && ' \t\r\n'.includes(text[i])) i++
  }

  function value (depth) {
    if (depth > DEEPEST) fail(`there are more than ${DEEPEST} levels`)
    const c = text[i]
    if (c === undefined) fail('a value is missing')
    if (c === '{') return list(depth, '}', () => member(depth))
    if (c === '[') return list(depth, ']', () => value(depth + 1))
    if (c === '"') return string()
    if (c === "'" || c === '“' || c === '‘') fail('text must be between double quotes: "…"')
    if (c === '-' || (c >= '0' && c <= '9') || c === '+' || c === '.') return number()
    word()
  }

  // list reads an object or array; one reads one of its elements.
  function list (depth, end, one) {
    const start = i++
    const what = end === '}' ? 'the object' : 'the array'
    space()
    if (text[i] === end) return done()
    for (;;) {
      one()
      space()
      if (i >= text.length) fail(`${what} that starts in ${at(text, start)} has no ${end} at its end`)
      if (text[i] === end) return done()
      if (text[i] !== ',') fail(`a comma or ${end} is missing here`)
      const comma = i++
      space()
      if (text[i] === end) fail(`there must be no comma before ${end}`, comma)
    }
  }

  function done () {
    i++
    space()
  }

  function member (depth) {
    if (text[i] === undefined) fail('a key is missing')
    if (text[i] !== '"') fail(text[i] === ',' ? 'a key is missing' : 'a key must be between double quotes: "key": value')
    string()
    if (text[i] !== ':') fail('a colon is missing after the key')
    i++
    space()
    if (text[i] === undefined || ',}'.includes(text[i])) fail('a value is missing after the colon')
    value(depth + 1)
  }

  function string () {
    const start = i++
    for (;; i++) {
      const c = text[i]
      if (c === undefined) fail('the text that starts here has no " at its end', start)
      if (c === '"') return done()
      if (c === '\n' || c === '\r') fail('the text that starts here has no " at the end of its line; a new line in it is written \\n', start)
      if (c < ' ') fail(c === '\t' ? 'a tab in text is written \\t' : 'a control character in text is written \\u and four digits')
      if (c !== '\\') continue
      const escape = text[++i]
      if (escape === 'u' && !/^[0-9a-f]{4}$/i.test(text.slice(i + 1, i + 5))) fail('\\u is followed by four digits, as in \\u00e9', i - 1)
      if (escape !== undefined && !'"\\/bfnrtu'.includes(escape)) fail('a backslash in text is written twice: \\\\', i - 1)
      if (escape === undefined) fail('the text that starts here has no " at its end', start)
    }
  }

  function number () {
    const start = i
    const written = /^[-+.\w]+/.exec(text.slice(i))[0]
    i += written.length
    if (/^-?(0|[1-9]\d*)(\.\d+)?(e[-+]?\d+)?$/i.test(written)) return space()
    if (/^\+/.test(written)) fail('there must be no + before a number', start)
    if (/^-?0\d/.test(written)) fail('there must be no 0 before a number', start)
    if (/^-?\.|\.($|e)/i.test(written)) fail('there must be a digit on both sides of the point', start)
    fail('this is not a number', start)
  }

  function word () {
    const written = (/^[\p{L}_$][\p{L}\p{N}_$]*/u.exec(text.slice(i)) || [''])[0]
    if (/^(true|false|null)$/.test(written)) {
      i += written.length
      return space()
    }
    if (/^(true|false|null)$/i.test(written)) fail(`${written.toLowerCase()} is written in small letters`)
    if (/^(undefined|NaN|Infinity|None|nil)$/.test(written)) fail(`JSON has no ${written}; use null`)
    if (written) fail(`JSON has no ${written.slice(0, 20)}: use text between double quotes, true, false or null`)
    if (text.startsWith('//', i) || text.startsWith('/*', i)) fail('JSON has no comments')
    if (',]}:'.includes(text[i])) fail('a value is missing')
    fail('no value starts with this character')
  }
}
