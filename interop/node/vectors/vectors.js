'use strict';

// Test vectors for engineio/internal/packet, written by the real engine.io-parser 1.1.0, 1.3.2, 2.2.1 and 5.2.3.
//
//   npm ci --ignore-scripts
//   node vectors.js > ../../../engineio/internal/packet/testdata/vectors.json
//
// The output is the same in every run. It has the form
//   {"cases":   {NAME: [PACKET, ...]},
//    "vectors": [{"parser", "revision", "form", "encoding", "case", "wire"}, ...]}
// where a PACKET is {"type": "message", "binary": false, "data": BASE64}, and a vector says that this parser writes the
// packets of that case as the bytes "wire" (base64). Its "form" is "packet" (one WebSocket frame; "encoding" is "text"
// or "binary") or "payload" (a polling body; "encoding" is "text", "texttwice" or "binary").
//
//   node vectors.js verify < wires.json
//
// makes the real parsers read: standard input is an array of {"parser": "2.2.1", "form", "encoding", "wire"}, and standard
// output is an array with one result for each, in that order: {"packets": [PACKET, ...]}, or {"error": TEXT} if the parser
// rejects the wire. A null wire is empty. "texttwice" and "text" are the same to a parser, which supports only one of them.

process.noDeprecation = true; // the old parsers call new Buffer()

const REVISIONS = { '1.1.0': 3, '1.3.2': 3, '2.2.1': 3, '5.2.3': 4 };

const parsers = {};
for (const version of Object.keys(REVISIONS)) parsers[version] = require('parser-' + version);

const message = (data) => ({ type: 'message', data });
const bytes = (length, from = 0) => Buffer.from(Array.from({ length }, (_, i) => (from + i) & 0xff));

const cases = {
  'ascii': [message('hello')],
  'unicode': [message('é€😀')],
  'every width of UTF-8': [message('a\u0080\u07ff\u0800\ud7ff\ue000\uffff\u{10000}\u{10ffff}')],
  'control characters': [message('\u0000\t\n\r\u007f\u0085\u2028\u2029\ufeff')],
  'text that looks encoded twice': [message('Ã©')],
  'empty message': [message('')],
  'empty binary': [message(Buffer.alloc(0))],
  'one byte of binary': [message(bytes(1, 0xff))],
  'two bytes of binary': [message(bytes(2, 0xfe))],
  'binary': [message(bytes(4, 1))],
  'every byte': [message(bytes(256))],
  'binary whose base64 starts with 4': [message(Buffer.from('4hello', 'base64'))],
  'binary that looks like a text packet': [message(Buffer.from('4hello'))],
  'text that starts with b': [message('b4AQIDBA==')],
  'text that starts with 4': [message('4hello')],
  'text that starts with a length': [message('6:4hello')],
  'probe': [{ type: 'ping', data: 'probe' }],
  'probe answered': [{ type: 'pong', data: 'probe' }],
  'probe sent as text': [message('2probe')],
  'open': [{ type: 'open', data: '{"sid":"x","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":60000}' }],
  'unicode in a packet that is no message': [{ type: 'ping', data: 'é€😀' }],
  'close': [{ type: 'close' }],
  'upgrade': [{ type: 'upgrade' }],
  'noop': [{ type: 'noop' }],
  'every type': ['open', 'close', 'ping', 'pong', 'message', 'upgrade', 'noop'].map((type) => ({ type })),
  'text packets': [message('hello'), { type: 'ping' }, message('€'), message(''), message('😀')],
  'text and binary': [message('hello'), message(bytes(4, 1))],
  'adjacent binary packets': [message(bytes(3)), message(bytes(3, 3)), message(Buffer.alloc(0)), message(bytes(5, 200))],
  'mixed': [
    { type: 'open', data: '{}' }, message('é€😀'), message(bytes(20)), { type: 'ping', data: 'probe' }, message('b'),
    message(Buffer.alloc(0)), message(''), { type: 'noop' }, message(bytes(9, 250)), message('4'),
  ],
  'thousand packets': Array.from({ length: 1000 }, (_, i) => message(i % 10 === 0 ? 'é' + i : String(i))),
  'long text': [message('0123456789€'.repeat(100))],
  'long binary': [message(bytes(1000))],
};

// toParser returns a packet for the parser of that version. It is a copy, because the parsers write to their arguments.
function toParser(version, { type, data }) {
  if (data === undefined) return { type };
  if (!Buffer.isBuffer(data)) return { type, data };
  const copy = Buffer.from(data);
  // 1.1.0 was written for Node.js 0.10, whose buffers had no property "buffer". In later versions that property is the
  // memory pool of the buffer, and 1.1.0 encodes the whole pool.
  if (version === '1.1.0') Object.defineProperty(copy, 'buffer', { value: undefined });
  return { type, data: copy };
}

function toJSON({ type, data }) {
  const binary = data !== undefined && typeof data !== 'string';
  return { type, binary, data: Buffer.from(data === undefined ? '' : data).toString('base64') };
}

// Old parsers call back, synchronously; 5.x calls back when it encodes, and returns the decoded packet.
function sync(fn) {
  let result;
  fn((value) => { result = value; });
  return result;
}

function encodePacket(version, packet, supportsBinary) {
  return sync((done) => parsers[version].encodePacket(toParser(version, packet), supportsBinary, done));
}

function encodePayload(version, packets, supportsBinary) {
  packets = packets.map((packet) => toParser(version, packet));
  if (REVISIONS[version] === 4) return sync((done) => parsers[version].encodePayload(packets, done));
  return sync((done) => parsers[version].encodePayload(packets, supportsBinary, done));
}

function decode({ parser: version, form, encoding, wire }) {
  const parser = parsers[version];
  if (!parser) throw new Error('no parser ' + version);
  wire = Buffer.from(wire || '', 'base64');
  if (encoding !== 'binary') {
    const text = wire.toString('utf8');
    if (!Buffer.from(text).equals(wire)) return [{ type: 'error', data: 'not UTF-8' }];
    wire = text;
  }
  if (form === 'packet') return [parser.decodePacket(wire)];
  if (REVISIONS[version] === 4) return parser.decodePayload(wire);
  const packets = [];
  parser.decodePayload(wire, (packet) => { packets.push(packet); });
  return packets;
}

function make() {
  const vectors = [];
  for (const [name, packets] of Object.entries(cases)) {
    for (const [version, revision] of Object.entries(REVISIONS)) {
      const seen = new Set();
      const add = (form, result) => {
        const binary = Buffer.isBuffer(result);
        const twice = form === 'payload' && version.startsWith('1.');
        const encoding = binary ? 'binary' : twice ? 'texttwice' : 'text';
        const wire = Buffer.from(result).toString('base64');
        const key = form + ' ' + encoding;
        if (seen.has(key)) return; // 2.x and 5.x write the same for both values of supportsBinary
        seen.add(key);
        vectors.push({ parser: version, revision, form, encoding, case: name, wire });
      };
      for (const supportsBinary of [false, true]) {
        if (packets.length === 1) add('packet', encodePacket(version, packets[0], supportsBinary));
        add('payload', encodePayload(version, packets, supportsBinary));
      }
    }
  }
  const described = Object.entries(cases).map(([name, packets]) => [name, packets.map(toJSON)]);
  return { cases: Object.fromEntries(described), vectors };
}

// print writes JSON with one packet or vector on a line, so that a changed vector is a changed line.
function print({ cases, vectors }) {
  const block = (items, indent) => items.map((item) => '\n' + indent + JSON.stringify(item)).join(',');
  const lines = Object.entries(cases).map(([name, packets]) => `\n  ${JSON.stringify(name)}: [${block(packets, '   ')}]`);
  process.stdout.write(`{"cases": {${lines.join(',')}},\n"vectors": [${block(vectors, '  ')}]}\n`);
}

function verify(wires) {
  return wires.map((wire) => {
    try {
      const packets = decode(wire);
      const bad = packets.find((packet) => !packet || packet.type === undefined || packet.type === 'error');
      if (bad || packets.length === 0) return { error: (bad && bad.data) || 'no packet' };
      return { packets: packets.map(toJSON) };
    } catch (err) {
      return { error: String(err) };
    }
  });
}

if (process.argv[2] === 'verify') {
  const input = JSON.parse(require('fs').readFileSync(0, 'utf8'));
  process.stdout.write(JSON.stringify(verify(input)) + '\n');
} else {
  print(make());
}
