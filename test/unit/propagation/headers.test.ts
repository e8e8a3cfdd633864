import t from 'tap'
import { createContext, key, type Packing } from '../../../lib/index.ts'
import { outboundHeaders } from '../../../lib/propagation/headers.ts'
import { ContextDefinition } from '../../../lib/lifecycle/context-definition.ts'
import { readKeys } from '../../../lib/config/key-policies.ts'
import { Scope } from '../../../lib/scope/scope.ts'
import type { CreateOptions } from '../../../lib/config/options.ts'
import type { Trace, Tracing } from '../../../lib/tracing/trace-context.ts'
import { turns, warnings } from '../../support/support.ts'

const API = 'https://api.example'
const PLACE: Trace = { traceId: '4bf92f3577b34da6a3ce929d0e0e4736', spanId: '00f067aa0ba902b7', traceFlags: 1 }

/** A root scope with one key of each kind, inside a trace. */
function scope (values: Record<string, unknown>, { trace, ...options }: CreateOptions & { trace?: Tracing } = {}, place?: Trace): Scope {
  const policy = readKeys({ tenant: { header: 'X-Tenant' }, user: { header: 'x-user' }, token: {} })
  const { registration } = new ContextDefinition(policy, { propagate: { [API]: ['requestId', 'tenant', 'user'], 'https://ids.example': ['requestId'] }, ...options, ...trace && { trace } })
  const root = new Scope({}, registration)
  Object.assign(root.store, { requestId: 'id-1' }, values)
  root.trace = place
  return root
}

const headersOf = (root: Scope, url: string = API, traced = false): object => outboundHeaders(root, url, { traced })

/** The header of one value. Each call uses a new key, because a warning is emitted once per key. */
function headerOf (name: string, value: unknown, carry?: Packing<any>): string | undefined {
  const ctx = createContext({ [name]: key<unknown>({ header: 'x-value', ...carry && { carry } }) }, { propagate: { [API]: [name] } })
  return ctx.run({ [name]: value } as object, () => ctx.headersFor(API))['x-value']
}

t.test('headersFor returns the headers of the keys that are listed for the origin and have a value', async (t) => {
  const root = scope({ tenant: 'acme', token: 'hush' })
  t.same(headersOf(root), { 'x-request-id': 'id-1', 'x-tenant': 'acme' })
  t.same(headersOf(root, 'https://ids.example/path'), { 'x-request-id': 'id-1' })
  t.same(headersOf(root, 'https://other.example'), {})
  t.same(headersOf(scope({ tenant: null, user: undefined })), { 'x-request-id': 'id-1' })
})

t.test('the header carries the value of the innermost scope', async (t) => {
  const root = scope({ tenant: 'acme', user: 'ada' })
  const child = new Scope(root.definition, root.registration, root)
  child.store.tenant = 'globex'
  t.same(headersOf(child), { 'x-request-id': 'id-1', 'x-tenant': 'globex', 'x-user': 'ada' })
})

t.test('no headers are returned without propagate or for an ended scope', async (t) => {
  t.same(headersOf(scope({ tenant: 'acme' }, { propagate: undefined! })), {})
  const root = scope({ tenant: 'acme' }, {}, PLACE)
  const child = new Scope(root.definition, root.registration, root)
  child.store.tenant = 'globex'
  root.end(() => {})
  t.same(headersOf(root), {})
  t.same(headersOf(child), {}, 'a child of an ended scope has none either')
})

t.test('plain ASCII values are sent unchanged, other values are percent-encoded, and every value can be decoded', async (t) => {
  const sent = {
    acme: 'acme',
    'Acme & Sons; "a", b=c \\ ~': 'Acme & Sons; "a", b=c \\ ~',
    '100%': '100%25',
    '%41': '%2541',
    'Bücher 📚': 'B%C3%BCcher %F0%9F%93%9A',
    'a\r\nx-admin: true': 'a%0D%0Ax-admin: true',
    'a\0\t\x7f\x85\u2028': 'a%00%09%7F%C2%85%E2%80%A8',
    '  two  ': '%20%20two%20%20',
    ' ': '%20'
  }
  for (const [value, header] of Object.entries(sent)) {
    const encoded = headerOf('text', value)
    t.equal(encoded, header)
    t.equal(decodeURIComponent(encoded!), value)
  }
  t.equal(headerOf('text', ''), '')
  for (const value of [0, 7, -1.5, true, false]) t.equal(headerOf('text', value), String(value))
})

t.test('a value of 1,024 bytes is sent, a longer one is not', async (t) => {
  const told = warnings(t, 'FST_CTX_HEADER')
  t.equal(headerOf('fits', 'x'.repeat(1024))?.length, 1024)
  t.equal(headerOf('fitsEncoded', `${'x'.repeat(1018)}ü`)?.length, 1024)
  t.equal(headerOf('long', 'x'.repeat(1025)), undefined)
  t.equal(headerOf('longEncoded', `${'x'.repeat(1019)}ü`), undefined, 'the limit applies to the encoded value')
  await turns()
  t.same(told.map(({ message }) => /'(\w+)'/.exec(message)?.[1]), ['long', 'longEncoded'])
})

/** How many characters `fn` passes to regular expressions. */
function charactersRead (fn: () => void): number {
  const before = { exec: RegExp.prototype.exec, [Symbol.replace]: RegExp.prototype[Symbol.replace] }
  let read = 0
  Object.assign(RegExp.prototype, {
    exec (this: RegExp, text: string) {
      read += text.length
      return before.exec.call(this, text)
    },
    [Symbol.replace] (this: RegExp, text: string, ...rest: [any]) {
      read += text.length
      return before[Symbol.replace].call(this, text, ...rest)
    }
  })
  try { fn() } finally { Object.assign(RegExp.prototype, before) }
  return read
}

t.test('a value that is too long is never scanned: only its length is read', async (t) => {
  for (const length of [1025, 120_000, 10_000_000]) {
    for (const value of [`a${' '.repeat(length - 2)}a`, ' '.repeat(length), '%'.repeat(length), 'ü'.repeat(length)]) {
      t.equal(charactersRead(() => { headerOf('text', value) }), charactersRead(() => { headerOf('text', {}) }), `${length}: as for a value that is not text`)
    }
  }
  t.ok(charactersRead(() => { headerOf('text', 'x'.repeat(1024)) }) > charactersRead(() => { headerOf('text', {}) }), 'a value that fits is scanned')
})

t.test('a value that no header can carry is not sent, and one warning per key and reason hides the value', async (t) => {
  const told = warnings(t, 'FST_CTX_HEADER')
  await turns()
  told.length = 0
  const packing = (pack: (value: any) => unknown): Packing<any> => ({ pack, unpack: (packed: unknown) => packed })
  for (let i = 0; i < 2; i++) {
    t.equal(headerOf('surrogate', 'private\ud800'), undefined)
    t.equal(headerOf('object', { id: 'private' }), undefined)
    t.equal(headerOf('list', ['private']), undefined)
    t.equal(headerOf('big', 1n), undefined)
    t.equal(headerOf('nan', NaN), undefined)
    t.equal(headerOf('infinite', -Infinity), undefined)
    t.equal(headerOf('called', () => 'private'), undefined)
    t.equal(headerOf('named', Symbol('private')), undefined)
    t.equal(headerOf('throwing', 'private', packing((value) => { throw new Error(value) })), undefined)
    t.equal(headerOf('packed', { id: 'private' }, packing((value) => value)), undefined)
  }
  await turns()
  t.same(told.map(({ message }) => /'(\w+)'/.exec(message)?.[1]), ['surrogate', 'object', 'list', 'big', 'nan', 'infinite', 'called', 'named', 'throwing', 'packed'])
  t.notMatch(JSON.stringify(told.map((warning) => ({ ...warning, message: warning.message, stack: warning.stack }))), /private/)
})

t.test('a key with pack sends the packed value; undefined and null are not sent and cause no warning', async (t) => {
  const told = warnings(t, 'FST_CTX_HEADER')
  const carry: Packing<{ id?: string | number | null }> = { pack: ({ id }) => id, unpack: () => undefined }
  t.equal(headerOf('packs', { id: 'ä' }, carry), '%C3%A4')
  t.equal(headerOf('packs', { id: 7 }, carry), '7')
  t.equal(headerOf('packs', {}, carry), undefined)
  t.equal(headerOf('packs', { id: null }, carry), undefined)
  await turns()
  t.same(told, [])
})

t.test('trace headers go to each listed origin', async (t) => {
  const child = /^00-4bf92f3577b34da6a3ce929d0e0e4736-(?!00f067aa0ba902b7)[0-9a-f]{16}-01$/
  const traceState = { serialize: () => 'vendor=1' }

  t.test('without a tracer each call gets its own span id', async (t) => {
    const root = scope({}, {}, { ...PLACE, traceState })
    const [first, second] = [headersOf(root), headersOf(root)] as Array<Record<string, string>>
    t.match(first!.traceparent, child)
    t.match(second!.traceparent, child)
    t.not(first!.traceparent, second!.traceparent)
    t.equal(first!.tracestate, 'vendor=1')
    t.same(headersOf(root, 'https://other.example'), {})
  })

  t.test('with a tracer the active span is the parent', async (t) => {
    const active = { ...PLACE, spanId: 'ffffffffffffffff' }
    const trace: Tracing = { current: () => active, requestSpan: () => PLACE, withParent: (_place, fn) => fn(), attributes: new Map(), setAttribute () {} }
    t.match(headersOf(scope({}, { trace }, PLACE)), { traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-ffffffffffffffff-01' })
  })

  t.test('trace headers are left to another tool that adds them', async (t) => {
    t.strictSame(headersOf(scope({ tenant: 'acme' }, {}, { ...PLACE, traceState }), API, true), { 'x-request-id': 'id-1', 'x-tenant': 'acme' })
  })

  t.test('a missing or empty trace state sends no tracestate header', async (t) => {
    for (const state of [undefined, { serialize: () => '' }]) t.notOk('tracestate' in headersOf(scope({}, {}, { ...PLACE, traceState: state })))
  })
})
