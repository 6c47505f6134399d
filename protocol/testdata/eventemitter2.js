// Records which names each pattern hears in the emitter that the original mesh uses.
// npm install eventemitter2@0.4.14 && node eventemitter2.js > eventemitter2.json
'use strict';
const {EventEmitter2} = require('eventemitter2');

const patterns = [
  'x', 'a::b', 'a::b::c', 'A', 'a:b', 'a:::b', 'é::ü',
  '*', '*::*', '*::*::*', 'a::*', '*::b', 'a::*::c', '*::b::*', 'é::*',
  '**', 'a::**', '**::b', '**::c', 'a::**::c', 'a::**::b::c', '**::a::b', 'a::b::**', '**::b::**', '**::a::**::b', 'a::**::b::**',
  'a::**::x::**::y', '**::*', '*::**', 'a::**::*', 'a::*::**', '**::*::c', '**::b::*', 'a::**::b::*',
  '**::**', 'a::**::**', 'a*', '*a', 'a::b*', '***', 'a::', '::', '::b', 'a::::b', '*::', '::*', '::**',
];
const names = [
  'x', 'a', 'b', 'c', 'A', 'ab', 'a:b', 'a:::b', 'a::b', 'a::c', 'b::c', 'x::y', 'a::a', 'é::ü',
  'a::b::c', 'a::x::c', 'a::b::b', 'a::a::b', 'x::a::b', 'x::y::a', 'x::y::z', 'a::c::b', 'a::x::y',
  'a::b::c::d', 'a::x::y::c', 'a::x::b::c', 'a::b::a::b', 'b::a::b::c', 'a::p::x::q::y', 'a::x::x::y::y',
  'a::', '::', '::b', 'a::::b',
];

const rows = patterns.map(pattern => {
  const hears = names.map(name => {
    const emitter = new EventEmitter2({wildcard: true, delimiter: '::', maxListeners: 0, newListener: true});
    let heard = '0';
    emitter.on(pattern, () => { heard = '1'; });
    heard = '0'; // a pattern such as * hears of itself as newListener
    emitter.emit(name);
    return heard;
  });
  return `    ${JSON.stringify(pattern)}: "${hears.join('')}"`;
});
console.log(`{\n  "names": ${JSON.stringify(names)},\n  "hears": {\n${rows.join(',\n')}\n  }\n}`);
