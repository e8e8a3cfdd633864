import t from 'tap'
import { isDeep, MAX_DEPTH, readEnvelope, writeEnvelope, type Envelope } from '../../../lib/envelope/format.ts'
import { sign } from '../../../lib/envelope/signature.ts'
import { turns, warnings, type Tap } from '../../support/support.ts'

const [FIRST, SECOND, OTHER] = ['first', 'second', 'other'].map((name) => `${name} secret of more than 32 characters`) as [string, string, string]
const OPEN = { maxBytes: 8192, secrets: [], ttl: undefined }
const SIGNED = { maxBytes: 8192, secrets: [FIRST, SECOND], ttl: 1000 }
const REFUSED = { code: 'FST_CTX_ENVELOPE_REFUSED', statusCode: 400 }

const PLAIN = { requestId: 'r-1', values: { tenant: 'acme' } }
const FULL: Omit<Envelope, 'v'> = {
  requestId: 'r-1',
  values: { tenant: 'globex', user: { id: 7 }, nothing: null },
  actor: { reason: 'ticket 4711', values: { tenant: 'acme' }, unset: ['user'] },
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  tracestate: 'vendor=1',
  remaining: 1500
}

/** Sets the clock for one test. */
function clock (t: Tap, at: number): (at: number) => void {
  const { now } = Date
  Date.now = () => at
  t.teardown(() => { Date.now = now })
  return (later) => { at = later }
}

t.test('an envelope is JSON in a fixed order, survives a round trip, and omits missing parts', async (t) => {
  const text = writeEnvelope(FULL, OPEN)
  t.equal(text, `{"v":1,"requestId":"r-1","values":{"tenant":"globex","user":{"id":7},"nothing":null},"actor":{"reason":"ticket 4711","values":{"tenant":"acme"},"unset":["user"]},"traceparent":"${FULL.traceparent}","tracestate":"vendor=1","remaining":1500}`)
  t.same(readEnvelope(text, OPEN), { v: 1, ...FULL })
  t.equal(writeEnvelope({ ...PLAIN, actor: undefined, traceparent: undefined, remaining: undefined }, OPEN), '{"v":1,"requestId":"r-1","values":{"tenant":"acme"}}')
})

t.test('the size limit counts bytes, not characters, is inclusive, and applies to both sides', async (t) => {
  for (const [character, bytes] of [['a', 1], ['é', 2], ['日', 3], ['😀', 4], ['"', 2], ['\u0001', 6]] as const) {
    const frame = writeEnvelope({ requestId: 'r', values: { key: '' } }, OPEN).length
    const room = 256 - frame
    const fits = { requestId: 'r', values: { key: character.repeat(Math.floor(room / bytes)) + 'a'.repeat(room % bytes) } }
    const text = writeEnvelope(fits, { ...OPEN, maxBytes: 256 })
    t.equal(Buffer.byteLength(text), 256, character)
    t.ok(readEnvelope(text, { ...OPEN, maxBytes: 256 }))
    t.throws(() => writeEnvelope({ requestId: 'r', values: { key: `${fits.values.key}a` } }, { ...OPEN, maxBytes: 256 }), { code: 'FST_CTX_ENVELOPE_TOO_LARGE' }, character)
    t.throws(() => readEnvelope(text, { ...OPEN, maxBytes: 255, secrets: [FIRST] }), { ...REFUSED, message: 'more than 255 bytes' })
  }
})

t.test('the signature counts towards the size limit', async (t) => {
  const envelope = { requestId: 'r', values: { key: 'a'.repeat(200) } }
  t.ok(writeEnvelope(envelope, { ...OPEN, maxBytes: 256 }))
  t.throws(() => writeEnvelope(envelope, { ...SIGNED, maxBytes: 256 }), { code: 'FST_CTX_ENVELOPE_TOO_LARGE' })
})

t.test('over the limit, the error names the three largest keys in bytes, largest first, and no value', async (t) => {
  const values = { small: 1, fat: 'x'.repeat(3000), fattest: '日'.repeat(2000), middle: 'x'.repeat(1000) }
  t.throws(() => writeEnvelope({ requestId: 'r', values }, OPEN), {
    code: 'FST_CTX_ENVELOPE_TOO_LARGE', message: /^the envelope has 100\d\d bytes \(limit 8192\)\. Largest keys: 'fattest' \(6002 bytes\), 'fat' \(3002 bytes\), 'middle' \(1002 bytes\)\./
  })
  const actor = { reason: 'because '.repeat(500), values: { user: 'x'.repeat(5000) }, unset: [] }
  t.throws(() => writeEnvelope({ requestId: 'r', values: { user: 'ada' }, actor }, OPEN), {
    message: /'actor\.user' \(5002 bytes\), 'actor\.reason' \(4002 bytes\), 'user' \(5 bytes\)/
  })
})

t.test('an invalid envelope yields nothing, with one warning per reason', async (t) => {
  const told = warnings(t, 'FST_CTX_ENVELOPE')
  const valid = '{"v":1,"requestId":"r-1","values":{"tenant":"acme"}}'
  const nested = (depth: number): string => '{"a":'.repeat(depth) + '1' + '}'.repeat(depth)
  const bad: Readonly<Record<string, readonly unknown[]>> = {
    'it is not a string': [undefined, null, 7, true, {}, [], JSON.parse(valid), [valid], Buffer.from(valid), new String(valid), Symbol('envelope'), { toString: () => valid }], // eslint-disable-line no-new-wrappers -- the test covers a String object
    'it has more than 8192 bytes': [valid.padEnd(8193), `${valid.slice(0, -2)},"x":"${'日'.repeat(2720)}"}}`],
    'it is not safe JSON': [
      '', 'acme', '{', '{]', valid.slice(0, -1), `${valid}}`, `${valid}${valid}`, `${valid}//`, "{'v':1}", '{"v":01}', 'undefined', 'NaN', '\u0000', '\ufeff', '{"v":1,}',
      '{"__proto__":{"polluted":1},"v":1}', '{"v":1,"requestId":"r","values":{"__proto__":{"polluted":1}}}', '{"v":1,"requestId":"r","values":{"\\u005f_proto__":{"polluted":1}}}',
      '{"v":1,"requestId":"r","values":{"tenant":{"a":[{"__proto__":1}]}}}', '{"v":1,"requestId":"r","values":{"tenant":{"constructor":{"prototype":{"polluted":1}}}}}',
      '{"v":1,"requestId":"r","values":{"tenant":{"constructor":1}}}', '{"v":1,"requestId":"r","values":{"constructor":"x"}}', '{"constructor":1}'
    ],
    'it is not as ctx.dehydrate writes it': [
      ` ${valid}`, `${valid}\n`, valid.replace(',', ', '), `\ufeff${valid}`, valid.replace('1', '1.0'), valid.replace('1', '1e0'), valid.replace('acme', '\\u0061cme'), valid.replace('"acme"', '-0'),
      '{"v":1,"v":1,"requestId":"r","values":{}}', '{"v":1,"requestId":"r","requestId":"s","values":{}}', '{"v":1,"requestId":"r","values":{},"values":{"tenant":"acme"}}',
      '{"v":1,"requestId":"r","values":{"tenant":"acme","tenant":"globex"}}', '{"v":1,"requestId":"r","values":{"\\u0063onstructor":1}}', `{"v":1,"requestId":"r","values":{"tenant":${2 ** 53}1}}`
    ],
    'it is not an object': ['null', 'true', '7', '"acme"', '[]', `[${valid}]`, JSON.stringify(valid)],
    'it has another version': ['{}', valid.replace('1', '2'), valid.replace('1', '0'), valid.replace('1', '"1"'), valid.replace('1', 'null'), valid.replace('1', '[1]'), '{"requestId":"r","values":{}}'],
    'it is nested too deep': [`{"v":1,"requestId":"r","values":{"a":${nested(MAX_DEPTH - 1)}}}`, `{"v":1,"requestId":"r","values":{"a":${'['.repeat(1000)}${']'.repeat(1000)}}}`],
    'it has a member of the wrong type, or an unknown one': [
      '{"v":1}', '{"v":1,"values":{}}', '{"v":1,"requestId":"r"}', ...['null', '7', '""', '"a b"', '"a\\nb"', '"é"', `"${'r'.repeat(129)}"`, '["r"]'].map((id) => `{"v":1,"requestId":${id},"values":{}}`),
      ...['null', '[]', '"acme"', '7'].map((values) => `{"v":1,"requestId":"r","values":${values}}`),
      ...['extra', 'toString', 'prototype', 'signature', 'hasOwnProperty', ''].map((name) => `${valid.slice(0, -1)},${JSON.stringify(name)}:1}`),
      ...['null', '"ada"', '[]', '{}', '{"reason":"r","values":{}}', '{"reason":"r","unset":[]}', '{"values":{},"unset":[]}', '{"reason":"","values":{},"unset":[]}', '{"reason":7,"values":{},"unset":[]}',
        '{"reason":"r","values":[],"unset":[]}', '{"reason":"r","values":null,"unset":[]}', '{"reason":"r","values":{},"unset":{}}', '{"reason":"r","values":{},"unset":[7]}', '{"reason":"r","values":{},"unset":[],"more":1}']
        .map((actor) => `${valid.slice(0, -1)},"actor":${actor}}`),
      ...['null', '7', '""', '"x"', `"00-${'0'.repeat(32)}-b7ad6b7169203331-01"`, `"ff-${'1'.repeat(32)}-b7ad6b7169203331-01"`].map((trace) => `${valid.slice(0, -1)},"traceparent":${trace}}`),
      ...['null', '7', '[]'].map((state) => `${valid.slice(0, -1)},"tracestate":${state}}`),
      ...['null', '-1', '"60"', '[60]', 'true'].flatMap((time) => [`${valid.slice(0, -1)},"remaining":${time}}`, `${valid.slice(0, -1)},"issued":${time}}`])
    ]
  }
  for (const [reason, given] of Object.entries(bad)) {
    for (const envelope of given) {
      const shown = typeof envelope === 'string' ? envelope.slice(0, 200) : typeof envelope
      t.equal(readEnvelope(envelope, OPEN), undefined, shown)
      t.equal(({} as { polluted?: unknown }).polluted, undefined)
      // The same, signed: a valid signature does not make invalid content valid.
      if (typeof envelope !== 'string' || !envelope.endsWith('}') || envelope.length < 3) continue
      t.throws(() => readEnvelope(sign(envelope, FIRST), { ...SIGNED, ttl: undefined }), { ...REFUSED, message: reason }, `signed: ${shown}`)
    }
  }
  await turns()
  t.same(told.map(({ message }) => /an invalid envelope: (.*)\. Its work/.exec(message)?.[1]), Object.keys(bad), 'no warning contains any of the input')
})

t.test('a missing or unusual but valid part is accepted', async (t) => {
  for (const members of ['', ',"remaining":0', ',"remaining":1.5', ',"remaining":1e+300', `,"remaining":${Number.MAX_SAFE_INTEGER}`, ',"issued":0', ',"tracestate":""', ',"actor":{"reason":"r","values":{},"unset":[]}']) {
    t.ok(readEnvelope(`{"v":1,"requestId":"r","values":{}${members}}`, OPEN), members)
  }
  t.ok(readEnvelope('{"values":{},"requestId":"r","v":1}', OPEN), 'members in another order')
  // Texts that only look like a name, and names that only look like the refused ones.
  for (const values of [{ tenant: '{"constructor":1}' }, { tenant: ',"constructor":' }, { tenant: '__proto__' }, { constructors: 1, Constructor: 1, '"constructor': 1, ',"constructor': 1, proto: 1 }]) {
    t.same(readEnvelope(JSON.stringify({ v: 1, requestId: 'r', values }), OPEN)?.values, values)
  }
})

t.test('an envelope is signed with the first secret, and accepted with any secret of the reader', async (t) => {
  const text = writeEnvelope(FULL, SIGNED)
  t.equal(text, sign(text.replace(/,"signature":".*"/, ''), FIRST))
  t.match(readEnvelope(text, SIGNED), { v: 1, ...FULL, issued: Number })
  t.match(readEnvelope(writeEnvelope(PLAIN, { ...SIGNED, secrets: [SECOND] }), SIGNED), PLAIN, 'with the previous one')
  t.match(readEnvelope(text, OPEN), FULL, 'and by a reader without secrets, while secrets are rolled out')
  t.notOk('signature' in readEnvelope(text, OPEN)!)
  for (const [name, forged] of Object.entries({
    'by an older one': writeEnvelope(PLAIN, { ...SIGNED, secrets: [OTHER] }),
    unsigned: writeEnvelope(PLAIN, OPEN),
    altered: text.replace('globex', 'acme99'),
    'signature of another': writeEnvelope(PLAIN, SIGNED).replace(/"signature":".*"/, /"signature":".*"/.exec(text)![0]),
    'no string': FULL,
    'no JSON': 'acme'
  })) t.throws(() => readEnvelope(forged, SIGNED), REFUSED, name)
})

t.test('an envelope whose signature was made for another purpose is refused', async (t) => {
  const { createHmac } = await import('node:crypto')
  const text = '{"v":1,"requestId":"r","values":{"tenant":"acme"},"issued":1}'
  const mac = createHmac('sha256', FIRST).update(text).digest('base64url')
  t.throws(() => readEnvelope(`${text.slice(0, -1)},"signature":"${mac}"}`, { ...SIGNED, ttl: undefined }), REFUSED)
})

t.test('the ttl is exact to the millisecond; an envelope without an issue time is too old; one from a clock slightly ahead is accepted', async (t) => {
  const at = 1_764_000_000_000
  const setClock = clock(t, at)
  const text = writeEnvelope(PLAIN, SIGNED)
  t.equal(readEnvelope(text, SIGNED)?.issued, at)
  for (const [later, taken] of [[0, true], [999, true], [1000, true], [1001, false], [1e12, false], [-5000, true]] as const) {
    setClock(at + later)
    if (taken) t.match(readEnvelope(text, SIGNED), PLAIN, `after ${later} ms`)
    else t.throws(() => readEnvelope(text, SIGNED), { ...REFUSED, message: 'older than its ttl' }, `after ${later} ms`)
    t.match(readEnvelope(text, { ...SIGNED, ttl: undefined }), PLAIN, 'without a ttl any age is accepted')
  }
  t.throws(() => readEnvelope(sign('{"v":1,"requestId":"r","values":{}}', FIRST), SIGNED), REFUSED)
})

t.test('isDeep counts nested objects and arrays, not their members', async (t) => {
  for (const value of [1, 'a', null, true]) t.equal(isDeep(value, 0), false)
  for (const value of [{}, [], { a: 1 }, [[]].flat()]) t.same([isDeep(value, 0), isDeep(value, 1)], [true, false])
  t.same([isDeep({ a: [{ b: 1 }] }, 2), isDeep({ a: [{ b: 1 }] }, 3)], [true, false])
  t.equal(isDeep([1, [2, [3]], 4], 2), true)
})

t.test('a signed envelope issued more than a minute in the future is refused', async (t) => {
  const at = 1_764_000_000_000
  const setClock = clock(t, at)
  const text = writeEnvelope(PLAIN, SIGNED)
  for (const ttl of [undefined, 1000, Infinity]) {
    setClock(at - 60_000)
    t.match(readEnvelope(text, { ...SIGNED, ttl }), PLAIN)
    setClock(at - 60_001)
    t.throws(() => readEnvelope(text, { ...SIGNED, ttl }), { ...REFUSED, message: 'in the future' })
  }
})

t.test('an envelope is accepted only for the purpose for which it was signed', async (t) => {
  const purposes = [undefined, 'report', 'mail', 'report\n', '"report"', '{']
  for (const made of purposes) {
    const text = writeEnvelope(PLAIN, SIGNED, made)
    t.notMatch(text, 'report')
    for (const read of purposes) {
      if (read === made) t.match(readEnvelope(text, SIGNED, read), PLAIN)
      else t.throws(() => readEnvelope(text, SIGNED, read), { ...REFUSED, message: 'valid signature' })
    }
  }
})
