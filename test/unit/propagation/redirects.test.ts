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

/** Whether a call to where an answer from outside leads is part of its chain. */
function leads (headers: unknown, path: string, status = 302): boolean {
  const of = newStore()
  const redirects = new Redirects()
  redirects.answered(call(OUTSIDE, '/hook', { of }), status, headers)
  return redirects.includes(call(LISTED, path, { of }))
}

t.test('an answer leads to its location alone, and only as a redirect', async (t) => {
  for (const status of [300, 301, 302, 303, 307, 308]) t.ok(leads({ location: `${LISTED}/a` }, '/a', status), String(status))
  for (const status of [100, 200, 299, 400, 500]) t.notOk(leads({ location: `${LISTED}/a` }, '/a', status), String(status))
  t.notOk(leads({ location: `${LISTED}/a` }, '/b'))
  t.notOk(leads({ location: 'https://other.example/a' }, '/a'))
  t.notOk(leads({}, '/a'))
  t.notOk(leads({ location: 'https://' }, '/a'), 'where nobody can follow')
})

t.test('headers in each form that undici has', async (t) => {
  const location = `${LISTED}/a`
  for (const headers of [
    { location }, { Location: [location] }, { location: ['https://other.example', location] }, ['x-a', 'b', 'Location', location],
    [Buffer.from('location'), Buffer.from(location)], [Buffer.from('location'), [Buffer.from(location)]]
  ]) t.ok(leads(headers, '/a'), JSON.stringify(headers))
  t.ok(leads({ location: [`${LISTED}/a`, 'b'] }, '/a,%20b'), 'several as one')
})

t.test('URLs are compared as they are dispatched', async (t) => {
  for (const [location, path] of [
    [`${LISTED}:443/./b/../a`, '/a'], [`${LISTED}/a#fragment`, '/a'], ['HTTPS://API.example/a?', '/a?'], ['https://me:secret@api.example/a', '/a'],
    ['//api.example/a', '/a'], [`${LISTED}//name`, '//name'], [`${LISTED}/b\u00fccher`, '/b%C3%BCcher'], [`${LISTED}/b\u00c3\u00bccher`, '/b%C3%BCcher']
  ] as const) t.ok(leads({ location }, path), location)
  const redirects = new Redirects()
  redirects.answered(call(new URL(OUTSIDE), '/folder/hook'), 302, { location: 'next' })
  t.ok(redirects.includes(call(OUTSIDE, '/folder/next')))
})

t.test('until the call that was led there is over, and in the same scope alone', async (t) => {
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

t.test('what is dispatched with the handler of such a call is part of the chain: a redirect, or a further try', async (t) => {
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

t.test('an origin that is none leads nowhere', async (t) => {
  const redirects = new Redirects()
  redirects.answered(call('no origin', '/'), 302, { location: '/a' })
  redirects.answered(call('no origin', '/'), 302, { location: `${LISTED}/a` })
  t.notOk(redirects.includes(call('no origin', '/a')))
  t.ok(redirects.includes(call(LISTED, '/a')))
})
