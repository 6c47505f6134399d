#!/usr/bin/env bash
# eventemitter2 6.4.9 with wildcards: ** matches any number of parts of a name, zero included.
#
# Guess: a listener on a pattern receives every event whose name the parts of the pattern match.
# Behaviour: the search does not go back after a first match of the part after **. Thus `**::b` matches `x::y::b` but not
#   `a::b::b`. A pattern with two adjacent ** matches nothing, and `a::**::*` matches `a`, although * needs one part.
# Output seen: the table below, with Node.js 20.
#
# Needs: node, npm.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts eventemitter2@6.4.9
cat > run.js <<'JS'
const { EventEmitter2 } = require('eventemitter2')
// pattern, name, calls by the definition, calls seen
const table = [
  ['**::b', 'x::y::b', 1, 1],
  ['**::b', 'a::b::b', 1, 0],
  ['a::**', 'a', 1, 1],
  ['a::**::*', 'a', 0, 1],
  ['**::**', 'a::b', 1, 0],
  ['a::**::**', 'a::b', 1, 0],
  ['**::*::**', 'a::b::c', 1, 0]
]
let changed = false
for (const [pattern, name, defined, expected] of table) {
  const emitter = new EventEmitter2({ wildcard: true, delimiter: '::' })
  let calls = 0
  emitter.on(pattern, () => calls++)
  emitter.emit(name)
  changed = changed || calls !== expected
  console.log(`${pattern.padEnd(10)} ${name.padEnd(8)} by definition ${defined}, calls ${calls}`)
}
console.log(changed ? 'THE BEHAVIOUR HAS CHANGED' : 'as expected')
process.exit(changed ? 1 : 0)
JS
echo "node $(node --version), eventemitter2 $(node -p "require('eventemitter2/package.json').version")"
node run.js
