// Random input from clients and callers as ids, traces, header values and URLs: nothing throws, and only safe output leaves the process.
import fc from 'fast-check'
import t from 'tap'
import { createContext, key } from '../../lib/index.ts'
import { readTrace, writeTrace } from '../../lib/tracing/trace-context.ts'

const API = 'https://*.api.example'
const ctx = createContext({ value: key<unknown>({ header: 'x-value' }), other: key<string>({ header: 'x-other' }) }, { propagate: { [API]: ['requestId', 'value'] } })

const text = fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary-ascii', maxLength: 1100 }), fc.array(fc.constantFrom(' ', '%', '\r\n', '\ud800', 'ü', ',', '=', '\0', 'a'), { maxLength: 600 }).map((parts) => parts.join('')))

t.test('a header is visible ASCII of limited length that decodes to the value, or it is not sent', async (t) => {
  fc.assert(fc.property(text, (value) => {
    const sent = ctx.run({ value }, () => ctx.headersFor('https://a.api.example'))['x-value']
    if (sent === undefined) return encodedLength(value) > 1024
    return /^(?! )[\x20-\x7e]*(?<! )$/.test(sent) && sent.length <= 1024 && decodeURIComponent(sent) === value
  }))
  t.pass('no counterexample')
})

/** The length of the value with all necessary characters encoded; over the limit if it is not text. */
function encodedLength (value: string): number {
  try {
    const inner = value.replace(/^ +/, '')
    const trimmed = inner.trimEnd().length === inner.length ? inner : inner.replace(/ +$/, '')
    return 3 * (value.length - trimmed.length) + [...trimmed].reduce((length, character) => length + (/[^\x20-\x7e]|%/.test(character) ? encodeURIComponent(character).length : 1), 0)
  } catch {
    return Infinity
  }
}

t.test('for any value headersFor does not throw, and sends it as text or not at all', async (t) => {
  fc.assert(fc.property(fc.anything({ withBigInt: true, withDate: true, withMap: true, withNullPrototype: true, withTypedArray: true }), (value) => {
    const sent = ctx.run({ value }, () => ctx.headersFor('https://a.api.example'))['x-value']
    return sent === undefined || ['string', 'number', 'boolean'].includes(typeof value)
  }))
  t.pass('no counterexample')
})

t.test('any URL is listed only if it is https, on the default port, and its host is below the domain', async (t) => {
  const part = fc.constantFrom('https:', 'http:', '//', '/', '\\', '@', ':', '443', '8443', '.', 'api.example', 'a.', 'evil.example', '#', '?', '%2e', '\t', '\u3002', '[::1]', ' ')
  fc.assert(fc.property(fc.oneof(fc.array(part, { maxLength: 8 }).map((parts) => parts.join('')), fc.webUrl(), fc.anything()), (url) => {
    const listed = ctx.run({ value: 'acme' }, () => Object.keys(ctx.headersFor(url as string)).length > 0)
    if (!listed) return true
    const { protocol, hostname, port } = new URL(url as string)
    return protocol === 'https:' && port === '' && /^(?:[^.]+\.)+api\.example$/.test(hostname)
  }), { numRuns: 1000 })
  t.pass('no counterexample')
})

t.test('a trace is read only from valid headers and written back; tracestate has no duplicate name, no control character and a limited length', async (t) => {
  const hex = (length: number): fc.Arbitrary<string> => fc.string({ unit: fc.constantFrom(...'0123456789abcdefG-'), minLength: length, maxLength: length })
  const parent = fc.oneof(text, fc.tuple(fc.constantFrom('00', '01', 'ff'), hex(32), hex(16), hex(2)).map((parts) => parts.join('-')), fc.constant(`00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`))
  const member = fc.tuple(fc.constantFrom('a', 'b', 'a@b', 'A', ''), fc.constantFrom('=', '', '=='), fc.constantFrom('1', ' 1 ', '\u00a0', '\n', 'x'.repeat(200))).map((parts) => parts.join(''))
  fc.assert(fc.property(parent, fc.oneof(text, fc.array(member, { maxLength: 40 }).map((members) => members.join(','))), (traceparent, tracestate) => {
    const trace = readTrace(traceparent, tracestate)
    if (trace === undefined) return true
    const state = trace.traceState?.serialize() ?? 'a=1'
    const names = state.split(',').map((entry) => entry.split('=')[0])
    return /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/.test(writeTrace(trace)) && /^[\x20-\x7e]{1,512}$/.test(state) && new Set(names).size === names.length
  }), { numRuns: 1000 })
  t.pass('no counterexample')
})
