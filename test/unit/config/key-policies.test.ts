import t from 'tap'
import { checkIdHeader, checkName, NO_KEYS, readKeys } from '../../../lib/config/key-policies.ts'

t.test('readKeys returns names, seeds, logged keys, locked keys and missing statuses in key order', async (t) => {
  const seed = (): string => 'x'
  const policy = readKeys({ b: seed, a: { seed, log: true, locked: true }, c: { log: false, locked: false, missing: 401 }, d: {}, e: { seed: undefined, log: undefined } })
  t.same([...policy.names], ['b', 'a', 'c', 'd', 'e'])
  t.same(policy.seeds, [{ name: 'b', seed }, { name: 'a', seed }])
  t.same(policy.logged, [{ name: 'a', log: true }])
  t.same([...policy.locked], ['a'])
  t.same([...policy.missing], [['c', 401]])
})

t.test('readKeys returns the carried keys, packed or not, and their headers in lower case', async (t) => {
  const carry = { pack: String, unpack: Number }
  const policy = readKeys({ a: { carry: true, header: 'X-A' }, b: { carry }, c: { carry: false }, d: { carry: undefined, header: undefined }, e: { header: "x-!#$%&'*+.^_`|~" }, f: () => 1 })
  t.same([...policy.serializedKeys], [['a', undefined], ['b', carry]])
  t.same([...policy.headers], [['a', 'x-a'], ['e', "x-!#$%&'*+.^_`|~"]])
})

t.test('readKeys returns the keys that copies for detached work leave out', async (t) => {
  t.same([...readKeys({ a: { detach: false }, b: { detach: true }, c: { detach: undefined }, d: {} }).undetached], ['a'])
})

t.test('a context without keys carries nothing', async (t) => {
  t.same([NO_KEYS.serializedKeys.size, NO_KEYS.headers.size, NO_KEYS.names.size], [0, 0, 0])
})

t.test('readKeys accepts a plain object, with or without a prototype', async (t) => {
  t.same([...readKeys(Object.assign(Object.create(null) as object, { tenant: {} })).names], ['tenant'])
  for (const keys of [new Map(), [], new (class Keys {})(), Object.create({ tenant: {} })]) {
    t.throws(() => readKeys(keys as never), { code: 'FST_CTX_INVALID_KEY' })
  }
  for (const keys of [undefined, null, 'tenant', 7]) {
    t.throws(() => readKeys(keys as never), { code: 'FST_CTX_INVALID_OPTION' })
  }
})

t.test('invalid key names are refused', async (t) => {
  for (const name of ['', '__proto__', 'constructor', 'hasOwnProperty', 'toString', 'requestId', 'get', 'set', 'run', 'log', 'mixin', 'plugin', 'cache', 'signal', 'impersonate', 'dehydrate', 'hydrate', 'trace', 'headersFor', 'interceptor']) {
    t.throws(() => { checkName(name) }, { code: 'FST_CTX_INVALID_KEY' }, name)
  }
  for (const name of ['tenant', 'level', 'a b', 'x-tenant', 'then', 'prototype', '0', 'é']) t.doesNotThrow(() => { checkName(name) }, name)
})

t.test('a name that every log line has may be a key, but not a logged one', async (t) => {
  for (const name of ['reason', 'trace_id', 'span_id', 'trace_flags', 'level', 'time', 'pid', 'hostname', 'msg', 'err', 'req', 'res', 'responseTime', 'reqId', 'serializers', 'formatters', 'customLevels']) {
    t.throws(() => readKeys({ [name]: { log: true } }), { code: 'FST_CTX_INVALID_KEY' }, name)
    t.same([...readKeys({ [name]: {} }).names], [name])
  }
})

t.test('a name that JSON would escape may be a key, but not a logged one', async (t) => {
  for (const name of ['a"b', 'a\\b', 'a\nb', '\ud800']) {
    t.throws(() => readKeys({ [name]: { log: true } }), { code: 'FST_CTX_INVALID_KEY' }, JSON.stringify(name))
    t.same([...readKeys({ [name]: { log: false } }).names], [name])
  }
  t.equal(readKeys({ 'a b.c-é/日': { log: true } }).logged.length, 1)
})

t.test('an invalid key policy is refused by the name of its option', async (t) => {
  for (const [policy, name] of [
    [true, 'keys.tenant'], ['acme', 'keys.tenant'], [null, 'keys.tenant'], [undefined, 'keys.tenant'],
    [{ seed: 'acme' }, 'keys.tenant.seed'], [{ seed: null }, 'keys.tenant.seed'],
    [{ log: 'id' }, 'keys.tenant.log'], [{ log: null }, 'keys.tenant.log'],
    [{ locked: 'yes' }, 'keys.tenant.locked'], [{ locked: null }, 'keys.tenant.locked'],
    [{ detach: 'no' }, 'keys.tenant.detach'], [{ detach: null }, 'keys.tenant.detach'],
    [{ missing: 200 }, 'keys.tenant.missing'], [{ missing: 600 }, 'keys.tenant.missing'], [{ missing: '401' }, 'keys.tenant.missing'], [{ missing: 401.5 }, 'keys.tenant.missing'],
    ...[1, 'true', null, [], {}, () => 1, { pack: String }, { unpack: String }, { pack: String, unpack: 'x' }, { pack: true, unpack: String }, { pack: String, unpack: String, packs: String }]
      .map((carry) => [{ carry }, 'keys.tenant.carry'] as const),
    ...['', 'a b', 'a:b', 'a\nb', 'é', 7, null, true, 'host', 'Host', 'connection', 'keep-alive', 'Content-Length', 'transfer-encoding', 'te', 'trailer', 'upgrade', 'expect',
      'proxy-authorization', 'Proxy-', 'traceparent', 'tracestate', 'x-request-id', 'X-Request-Id'].map((header) => [{ header }, 'keys.tenant.header'] as const),
    [{ logs: true }, 'keys.tenant.logs']
  ] as const) {
    t.throws(() => readKeys({ tenant: policy }), { code: 'FST_CTX_INVALID_OPTION', message: new RegExp(`'${name.replaceAll('.', '\\.')}'`) }, JSON.stringify(policy))
  }
})

t.test('two keys with the same header, in any case, are refused by the name of the second', async (t) => {
  for (const header of ['x-tenant', 'X-Tenant', 'X-TENANT']) {
    t.throws(() => readKeys({ tenant: { header: 'x-tenant' }, user: {}, owner: { header } }), { code: 'FST_CTX_INVALID_OPTION', message: /'keys\.owner\.header'.*'tenant'/ }, header)
  }
})

t.test('the request id header is refused if a key uses it', async (t) => {
  const policy = readKeys({ tenant: { header: 'X-Tenant' } })
  t.throws(() => { checkIdHeader('x-tenant', policy) }, { code: 'FST_CTX_INVALID_OPTION', message: /'requestId\.header'.*'tenant'/ })
  t.doesNotThrow(() => { checkIdHeader('x-request-id', policy) })
})
