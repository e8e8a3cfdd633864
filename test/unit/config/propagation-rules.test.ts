import t from 'tap'
import { readPropagate, type Propagate } from '../../../lib/config/propagation-rules.ts'
import { readKeys } from '../../../lib/config/key-policies.ts'

const policy = readKeys({ tenant: { header: 'x-tenant' }, user: { header: 'x-user' }, token: {} })

/** Whether a pattern lists the origin of a URL. */
function lists (pattern: string, url: string | URL): boolean {
  return readPropagate({ [pattern]: ['tenant'] }, policy)(url)?.has('tenant') === true
}

t.test('an origin pattern matches its own URLs only, in every spelling', async (t) => {
  for (const url of ['https://api.example', 'https://api.example/', 'https://api.example/a?b#c', 'https://API.Example:443/', 'HTTPS://api.example', 'https://user:secret@api.example/']) {
    t.ok(lists('https://api.example', url), url)
    t.ok(lists('https://api.example', new URL(url)), `${url} as a URL`)
  }
  for (const pattern of ['https://api.example/', 'HTTPS://API.EXAMPLE', 'https://api.example:443']) t.ok(lists(pattern, 'https://api.example/a'), pattern)
})

t.test('an origin pattern matches no other scheme, port or name', async (t) => {
  for (const url of [
    'http://api.example', 'https://api.example:8443', 'ws://api.example', 'https://www.api.example', 'https://example', 'https://api.example.evil.com',
    'https://evilapi.example', 'https://api.example@evil.com/', 'https://evil.com/https://api.example', 'https://evil.com?https://api.example',
    'https://evil.com#api.example', 'https://evil.com\\@api.example', 'https://api.example.', 'https://api%2eexample.evil.com', 'https://api-example'
  ]) t.notOk(lists('https://api.example', url), url)
})

t.test('the port is part of the origin', async (t) => {
  t.ok(lists('http://api.example:3000', 'http://api.example:3000/a'))
  t.notOk(lists('http://api.example:3000', 'http://api.example'))
  t.notOk(lists('http://api.example:3000', 'http://api.example:30000'))
  t.ok(lists('http://api.example:80', 'http://api.example'))
})

t.test('a wildcard matches every level of subdomain, but not the domain itself', async (t) => {
  const pattern = 'https://*.internal.example'
  for (const url of ['https://a.internal.example', 'https://a.b.internal.example/x', 'https://A.INTERNAL.example']) t.ok(lists(pattern, url), url)
  for (const url of [
    'https://internal.example', 'https://evilinternal.example', 'https://internal.example.evil.com', 'https://a.internal.example.evil.com', 'http://a.internal.example',
    'https://.internal.example', 'https://..internal.example', 'https://a..internal.example', 'https://%2einternal.example', 'https://\u3002internal.example',
    'https://a.internal.example:8443', 'https://evil.com/.internal.example', 'https://a.internal.example@evil.com', 'https://a.internal.example.', 'https://internal.example.'
  ]) t.notOk(lists(pattern, url), url)
  t.ok(lists('https://*.internal.example:8443', 'https://a.internal.example:8443'))
})

t.test('internationalized names and addresses are compared in the form in which they are sent', async (t) => {
  t.ok(lists('https://bücher.example', 'https://xn--bcher-kva.example/a'))
  t.ok(lists('https://*.xn--bcher-kva.example', 'https://api.BÜCHER.example/a'))
  t.notOk(lists('https://bücher.example', 'https://bucher.example/'))
  t.ok(lists('http://127.0.0.1:3000', 'http://127.1:3000'), 'a short form of the address')
  t.notOk(lists('http://127.0.0.1:3000', 'http://localhost:3000'), 'its name')
  t.ok(lists('http://[::1]:3000', 'http://[0:0:0:0:0:0:0:1]:3000'))
})

t.test('if several patterns match an origin, it gets the keys of all of them', async (t) => {
  const keysFor = readPropagate({ 'https://*.example': ['requestId', 'tenant'], 'https://api.example': ['user'], 'https://other.example': [] }, policy)
  t.same([...keysFor('https://api.example')!], ['requestId', 'tenant', 'user'])
  t.same([...keysFor('https://www.example')!], ['requestId', 'tenant'])
  t.equal(keysFor('https://example.com'), undefined)
  t.same([...readPropagate({ 'https://other.example': [] }, policy)('https://other.example')!], [], 'it is listed without keys: only the trace is sent')
})

t.test('an invalid URL matches no pattern', async (t) => {
  const hostile = { toString () { throw new Error('toString') } }
  for (const given of [Object.create(null), hostile, Symbol('https://api.example'), { toString: () => ({}) }]) t.notOk(lists('https://api.example', given as string))
  for (const given of ['', '/path', 'api.example', 'https://', undefined, null, 7, {}]) t.notOk(lists('https://api.example', given as string), String(given))
  t.equal(readPropagate({}, policy)('https://api.example'), undefined)
})

t.test('invalid propagation options are refused by name', async (t) => {
  const refused = (propagate: unknown, message: RegExp): void => {
    t.throws(() => readPropagate(propagate as Propagate, policy), { code: 'FST_CTX_INVALID_OPTION', message })
  }
  for (const propagate of [null, 'https://api.example', 7]) refused(propagate, /propagate/)
  for (const pattern of [
    '', '*', 'api.example', '//api.example', 'ftp://api.example', 'ws://api.example', 'https://*', 'https://*.', 'https://api.*', 'https://a.*.example', 'https://*api.example',
    'https://api.example/path', 'https://api.example?', 'https://api.example#', 'https://user@api.example', 'https://api.example:port', 'https://api.example:99999', 'https://a b',
    'https://.example', 'https://*..example', 'https://a..example', 'https://api.example\\', ' https://api.example', 'null', '__proto__ '
  ]) refused({ [pattern]: ['tenant'] }, /propagate\['/)
  for (const pattern of ['https://*.127.0.0.1', 'https://*.[::1]']) refused({ [pattern]: ['tenant'] }, /propagate\['.*address|is not an origin/)
  for (const keys of ['tenant', undefined, null, { 0: 'tenant' }]) refused({ 'https://api.example': keys }, /takes a list/)
  for (const key of ['token', 'tenat', '__proto__', '', 7, undefined]) refused({ 'https://api.example': ['requestId', key] }, /not a key with a header/)
})
