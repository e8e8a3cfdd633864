import t from 'tap'
import { bytesOf, headersOf, SentRequest } from '../../../lib/testing/sent-request.ts'

t.test('a text or binary body is sent unchanged, any other body as JSON', async (t) => {
  t.equal(bytesOf(undefined).length, 0)
  t.equal(bytesOf('text').toString(), 'text')
  t.equal(bytesOf(new Uint8Array([97, 98])).toString(), 'ab')
  t.equal(bytesOf({ a: [1] }).toString(), '{"a":[1]}')
  t.equal(bytesOf(null).toString(), 'null')
})

t.test('a JSON body has its content type unless the request sets one', async (t) => {
  const url = '/'
  t.same(headersOf({ url }), {})
  t.same(headersOf({ url, body: 'text', headers: { a: 'b' } }), { a: 'b' })
  t.same(headersOf({ url, body: Buffer.from('bytes') }), {})
  t.same(headersOf({ url, body: {}, headers: { a: ['b', 'c'] } }), { a: ['b', 'c'], 'content-type': 'application/json' })
  t.same(headersOf({ url, body: {}, headers: { 'Content-Type': 'application/merge-patch+json' } }), { 'Content-Type': 'application/merge-patch+json' })
})

t.test('a SentRequest has an upper-case method, and resolves when it arrives', async (t) => {
  const sending = { pieces: [], chunked: false, wait: 0 }
  t.equal(new SentRequest(1, 'canary', { url: '/' }, 0, sending).method, 'GET')
  const sent = new SentRequest(1, 'canary', { url: '/', method: 'post' }, 0, sending)
  t.equal(sent.method, 'POST')
  t.equal(sent.hasArrived, false)
  sent.arrive()
  await sent.arrived
  t.equal(sent.hasArrived, true)
})
