import { channel } from 'node:diagnostics_channel'
import t from 'tap'
import { createContext, key } from '../../../lib/index.ts'
import { currentStore } from '../../../lib/scope/storage.ts'

const ORIGIN = 'https://api.example'
const ctx = createContext({ tenant: key<string>({ header: 'X-Tenant' }), user: key<string>({ header: 'x-user' }) }, { propagate: { [ORIGIN]: ['tenant', 'user'] } })

interface Dispatched { readonly options: any, readonly handler: any }

/** What is dispatched through the interceptor. */
function pass (options: object, handler: object = {}): Dispatched {
  const dispatched: Dispatched[] = []
  ctx.interceptor((options, handler) => dispatched.push({ options, handler }) > 0)(options, handler)
  return dispatched[0]!
}

const asAcme = <R>(fn: () => R): R => ctx.run({ tenant: 'acme', user: 'ada' }, fn)
const headersOf = (headers: unknown): object => asAcme(() => pass({ origin: ORIGIN, headers })).options.headers

t.test('the interceptor changes nothing outside a scope, for an unlisted or missing origin, and when no value is set', async (t) => {
  const options = { origin: ORIGIN, path: '/' }
  t.equal(pass(options).options, options)
  for (const origin of ['https://other.example', undefined]) {
    const other = { origin, path: '/' }
    t.equal(asAcme(() => pass(other)).options, other)
  }
  t.equal(ctx.run({}, () => pass(options)).options, options)
  t.same(options, { origin: ORIGIN, path: '/' })
})

t.test('the interceptor returns what the dispatcher returns: whether it accepts more calls', async (t) => {
  for (const taken of [true, false]) t.equal(ctx.interceptor(() => taken)({ origin: ORIGIN }, {}), taken)
})

t.test('headers are added to a copy of the options', async (t) => {
  const options = { origin: new URL(ORIGIN), path: '/', method: 'GET', headers: { accept: '*/*' } }
  t.same(asAcme(() => pass(options)).options, { ...options, headers: { accept: '*/*', 'x-tenant': 'acme', 'x-user': 'ada' } })
  t.same(options.headers, { accept: '*/*' })
})

t.test('headers in every format that undici accepts keep that format', async (t) => {
  const ours = { 'x-tenant': 'acme', 'x-user': 'ada' }
  const objects: Record<string, object | null | undefined> = {
    none: undefined,
    null: null,
    'an object': { Accept: 'a', 'x-count': 1, 'set-cookie': ['a', 'b'] },
    'an object without a prototype': Object.assign(Object.create(null) as object, { accept: 'a' })
  }
  for (const [form, given] of Object.entries(objects)) t.same(headersOf(given), { ...given, ...ours }, form)
  const lists: Record<string, [given: Iterable<unknown>, sent: unknown[]]> = {
    'names and values in turn': [['Accept', 'a', 'set-cookie', ['a', 'b']], ['Accept', 'a', 'set-cookie', ['a', 'b']]],
    Headers: [new Headers({ Accept: 'a' }), ['accept', 'a']],
    Map: [new Map<string, unknown>([['Accept', 'a'], ['set-cookie', ['a', 'b']]]), ['Accept', 'a', 'set-cookie', ['a', 'b']]],
    'an iterable of pairs': [(function * () { yield ['Accept', 'a'] })(), ['Accept', 'a']]
  }
  for (const [form, [given, sent]] of Object.entries(lists)) t.same(headersOf(given), [...sent, ...Object.entries(ours).flat()], form)
})

t.test("a caller's own header is never overwritten, in any format or case", async (t) => {
  for (const given of [['X-TENANT', 'own'], new Map([['X-TENANT', 'own']])]) t.same(headersOf(given), ['X-TENANT', 'own', 'x-user', 'ada'])
  t.same(headersOf({ 'X-TENANT': 'own' }), { 'X-TENANT': 'own', 'x-user': 'ada' })
  t.same(headersOf(new Headers({ 'X-TENANT': 'own' })), ['x-tenant', 'own', 'x-user', 'ada'])
  t.same(headersOf({ 'x-tenant': '' }), { 'x-tenant': '', 'x-user': 'ada' }, 'an empty header counts as a header')
  t.same(headersOf([Buffer.from('X-Tenant'), 'own']).toString(), 'X-Tenant,own,x-user,ada')
  t.same(headersOf(['accept', 'x-tenant']), ['accept', 'x-tenant', 'x-tenant', 'acme', 'x-user', 'ada'], 'a value is not a name')
  t.same(headersOf({ 'x-tenant': undefined }), { 'x-tenant': 'acme', 'x-user': 'ada' }, 'undefined counts as absent')
})

t.test('handler callbacks run in the scope that dispatched the call, with their own this and arguments', async (t) => {
  class Handler {
    readonly #calls: unknown[] = []
    readonly kind = 'ours'
    get calls (): unknown[] { return this.#calls }
    onResponseStart (...args: unknown[]): string {
      this.#calls.push([ctx.get('tenant'), ...args])
      return 'kept'
    }
  }
  const handler = Object.freeze(new Handler())
  const { handler: passed } = asAcme(() => pass({ origin: 'https://other.example' }, handler)) as { handler: Handler & { onError?: unknown } }
  t.equal(passed.onResponseStart(1, 2), 'kept')
  ctx.run({ tenant: 'globex' }, () => passed.onResponseStart(3))
  t.same(handler.calls, [['acme', 1, 2], ['acme', 3]])
  t.same(passed.calls, handler.calls)
  t.ok(passed instanceof Handler)
  t.equal(passed.kind, 'ours')
  t.equal(passed.onError, undefined, 'a callback that the handler lacks is not added')

  const literal = Object.freeze({ onError: () => ctx.get('tenant') })
  t.equal(asAcme(() => pass({}, literal)).handler.onError(), 'acme', 'a frozen handler works too')
})

t.test('without a scope, handler callbacks run outside any scope, even if the caller has one', async (t) => {
  const { handler } = pass({ origin: ORIGIN }, { onError: () => currentStore() })
  t.equal(asAcme(() => handler.onError()), undefined)
})

t.test('one handler used in two scopes runs in each scope separately', async (t) => {
  const shared = { onConnect: () => ctx.get('tenant') }
  const [a, b] = ['acme', 'globex'].map((tenant) => ctx.run({ tenant }, () => pass({ origin: ORIGIN }, shared)))
  t.same([a, b].map((each) => [each!.options.headers['x-tenant'], each!.handler.onConnect()]), [['acme', 'acme'], ['globex', 'globex']])
})

t.test('traceparent', async (t) => {
  const created = channel('undici:request:create')
  const opentelemetry = Symbol.for('opentelemetry.js.api.1')
  const listen = (): void => {}
  t.teardown(() => {
    created.unsubscribe(listen)
    Reflect.deleteProperty(globalThis, opentelemetry)
  })
  const envelope = JSON.stringify({ v: 1, requestId: 'id-1', values: {}, traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' })
  const withState = envelope.replace(/\}$/, ',"tracestate":"vendor=1"}')
  const added = async (): Promise<unknown> => ((await ctx.hydrate(envelope, () => pass({ origin: ORIGIN }))).options as { headers?: object }).headers
  const ours = { traceparent: /^00-4bf92f3577b34da6a3ce929d0e0e4736-/ }
  t.match(await added(), ours)
  for (const [name, value] of [['traceparent', `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`], ['TraceState', 'own=1']] as const) {
    for (const headers of [{ [name]: value }, [name, value]]) {
      t.same((await ctx.hydrate(withState, () => pass({ origin: ORIGIN, headers }))).options.headers, headers, `a caller's own ${name} is sent without ours: two traces are never mixed`)
    }
  }
  created.subscribe(listen)
  t.match(await added(), ours, 'even if something subscribes to undici:request:create')
  Reflect.set(globalThis, opentelemetry, {})
  t.equal(await added(), undefined, 'a registered OpenTelemetry that subscribes sends the headers itself')
  created.unsubscribe(listen)
  t.match(await added(), ours, 'an OpenTelemetry that does not subscribe does not')
})
