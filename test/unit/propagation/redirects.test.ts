import t from 'tap'
import { Redirects, type Call } from '../../../lib/propagation/redirects.ts'
import type { Store } from '../../../lib/scope/scope.ts'

const OUTSIDE = 'https://hooks.example'
const LISTED = 'https://api.example'

const newStore = (): Store => ({}) as Store
const store = newStore()

function call (origin: string | URL, path: string, { handler = {}, of = store }: { handler?: object, of?: Store } = {}): Call {
  return { store: of, origin, path, handler }
}

/** Whether a call to the location of a response from outside belongs to the same redirect chain. */
function leads (headers: unknown, path: string, status = 302): boolean {
  const of = newStore()
  const redirects = new Redirects()
  redirects.answered(call(OUTSIDE, '/hook', { of }), status, headers)
  return redirects.includes(call(LISTED, path, { of }))
}

t.test('a redirect response puts only its own location in the chain, and only with a redirect status', async (t) => {
  for (const status of [300, 301, 302, 303, 307, 308]) t.ok(leads({ location: `${LISTED}/a` }, '/a', status), String(status))
  for (const status of [100, 200, 299, 400, 500]) t.notOk(leads({ location: `${LISTED}/a` }, '/a', status), String(status))
  t.notOk(leads({ location: `${LISTED}/a` }, '/b'))
  t.notOk(leads({ location: 'https://other.example/a' }, '/a'))
  t.notOk(leads({}, '/a'))
  t.notOk(leads({ location: 'https://' }, '/a'), 'a location that cannot be followed')
})

t.test('the location is read from every header format that undici uses', async (t) => {
  const location = `${LISTED}/a`
  for (const headers of [
    { location }, { Location: [location] }, { location: ['https://other.example', location] }, ['x-a', 'b', 'Location', location],
    [Buffer.from('location'), Buffer.from(location)], [Buffer.from('location'), [Buffer.from(location)]]
  ]) t.ok(leads(headers, '/a'), JSON.stringify(headers))
  t.ok(leads({ location: [`${LISTED}/a`, 'b'] }, '/a,%20b'), 'several values are joined')
})

t.test('locations and calls are compared in the form that undici dispatches', async (t) => {
  for (const [location, path] of [
    [`${LISTED}:443/./b/../a`, '/a'], [`${LISTED}/a#fragment`, '/a'], ['HTTPS://API.example/a?', '/a?'], ['https://me:secret@api.example/a', '/a'],
    ['//api.example/a', '/a'], [`${LISTED}//name`, '//name'], [`${LISTED}/b\u00fccher`, '/b%C3%BCcher'], [`${LISTED}/b\u00c3\u00bccher`, '/b%C3%BCcher']
  ] as const) t.ok(leads({ location }, path), location)
  const redirects = new Redirects()
  redirects.answered(call(new URL(OUTSIDE), '/folder/hook'), 302, { location: 'next' })
  t.ok(redirects.includes(call(OUTSIDE, '/folder/next')))
})

t.test('a location stays in the chain until the call to it ends, and only in its own scope', async (t) => {
  const redirects = new Redirects()
  redirects.answered(call(OUTSIDE, '/hook'), 302, { location: `${LISTED}/a` })
  redirects.answered(call(OUTSIDE, '/hook'), 302, { location: `${LISTED}/b` })
  t.notOk(redirects.includes(call(LISTED, '/a', { of: newStore() })))
  for (let i = 0; i < 2; i++) t.ok(redirects.includes(call(LISTED, '/a')))
  redirects.ended(call(LISTED, '/a'))
  t.notOk(redirects.includes(call(LISTED, '/a')))
  t.ok(redirects.includes(call(LISTED, '/b')))
  redirects.ended(call(LISTED, '/a', { of: newStore() }))
})

t.test('a call that reuses the handler of a redirected call is in the chain, as a redirect or as a retry', async (t) => {
  const redirects = new Redirects()
  const [follows, tries] = [{}, {}]
  t.notOk(redirects.includes(call(OUTSIDE, '/hook', { handler: follows })))
  redirects.answered(call(OUTSIDE, '/hook', { handler: follows }), 302, { location: `${LISTED}/a` })
  t.ok(redirects.includes(call(LISTED, '/elsewhere', { handler: follows })))
  t.ok(redirects.includes(call(LISTED, '/a', { handler: tries })))
  redirects.ended(call(LISTED, '/a', { handler: tries }))
  t.ok(redirects.includes(call(LISTED, '/a', { handler: tries })))
  t.notOk(redirects.includes(call(LISTED, '/a')))
})

t.test('an invalid origin leads nowhere', async (t) => {
  const redirects = new Redirects()
  redirects.answered(call('no origin', '/'), 302, { location: '/a' })
  redirects.answered(call('no origin', '/'), 302, { location: `${LISTED}/a` })
  t.notOk(redirects.includes(call('no origin', '/a')))
  t.ok(redirects.includes(call(LISTED, '/a')))
})
