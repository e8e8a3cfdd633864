import t from 'tap'
import { Canaries, makeCanary } from '../../../lib/testing/canary.ts'
import { crossingsInAnswer, firedRequest, makeCrossing, ownersOf } from '../../../lib/testing/crossing.ts'
import { SentRequest, type Answer } from '../../../lib/testing/sent-request.ts'

const canaries = new Canaries<SentRequest>()
const [ada, lin, eve] = [1, 2, 3].map((number) => {
  const canary = makeCanary()
  const sent = new SentRequest(number, canary, { url: `/${canary}` }, 0, { pieces: [], chunked: false, wait: 0 })
  canaries.give(canary, sent)
  return sent
}) as [SentRequest, SentRequest, SentRequest]

function crossings (answer: Partial<Answer>): unknown[] {
  ada.answer = { status: 200, headers: [], body: '', ...answer }
  return crossingsInAnswer(ada, canaries).map(({ reader, owner, where, at }) => [reader.number, owner.number, where, at])
}

t.test('a request without an answer, and an echo of its own canary, are no crossings', async (t) => {
  t.same(crossingsInAnswer(eve, canaries), [])
  t.equal(ada.seen, false)
  t.same(crossings({ body: JSON.stringify({ tenant: ada.canary }), headers: [['x-tenant', ada.canary]] }), [])
  t.equal(ada.seen, true)
  t.equal(eve.seen, false)
})

t.test('another request\'s canary in a header is a crossing, one per other request', async (t) => {
  t.same(crossings({ headers: [['x-a', 'none'], ['x-b', `${lin.canary}, ${ada.canary}`], ['set-cookie', `t=${lin.canary}.${eve.canary}`]] }), [
    [1, 2, 'header', 'x-b'], [1, 2, 'header', 'set-cookie'], [1, 3, 'header', 'set-cookie']
  ])
})

t.test('the place in a body is the JSON path of a value, a name or base64, and an offset in other text', async (t) => {
  const token = Buffer.from(`{"sub":"${lin.canary}"}`).toString('base64url')
  for (const [body, at] of [
    [JSON.stringify({ rows: [{ tenant: ada.canary }, { of: { tenant: `of ${lin.canary.toUpperCase()}` } }] }), 'rows[1].of.tenant'],
    [JSON.stringify([1, null, lin.canary]), '[2]'],
    [JSON.stringify({ tenants: { [lin.canary]: 1 } }), 'tenants.<canary of 2>'],
    [JSON.stringify({ token: `x.${token}.y` }), 'token'],
    [JSON.stringify(lin.canary), 'its whole'],
    [`hello ${lin.canary}`, 'character 6'],
    [token, 'character 0']
  ] as const) t.same(crossings({ body }), [[1, 2, 'body', at]], at)
})

t.test('an excerpt surrounds the value on one line, with request numbers instead of canaries', async (t) => {
  const excerpt = (text: string): string => makeCrossing(ada, lin, { where: 'body', at: '', text }, canaries).excerpt
  t.equal(excerpt(`${ada.canary}\n  ${lin.canary}`), '<canary of 1> <canary of 2>')
  t.equal(excerpt(`${'x'.repeat(100)}${lin.canary}${'y'.repeat(100)}`), `…${'x'.repeat(40)}<canary of 2>${'y'.repeat(40)}…`)
  t.equal(excerpt(Buffer.from(lin.canary).toString('base64')).slice(0, 10), Buffer.from(lin.canary).toString('base64').slice(0, 10))
})

t.test('ownersOf returns the other requests whose canaries are in a text, and marks its own canary as seen', async (t) => {
  t.same(ownersOf(`${lin.canary} ${eve.canary}`, ada, canaries), [lin, eve])
  t.equal(eve.seen, false)
  t.same(ownersOf(`${lin.canary} ${eve.canary}`, eve, canaries), [lin])
  t.equal(eve.seen, true)
})

t.test('makeCrossing leaves out the line and the logger if they are unknown', async (t) => {
  lin.route = '/:tenant'
  t.same(firedRequest(lin), { number: 2, method: 'GET', url: `/${lin.canary}`, route: '/:tenant', canary: lin.canary })
  const seen = makeCrossing(ada, lin, { where: 'log', at: 'msg', text: lin.canary, logger: 'info', line: 'app.js:1:2' }, canaries)
  t.match(seen, { logger: 'info', line: 'app.js:1:2', index: 0 })
  t.match(makeCrossing(ada, lin, { where: 'value', at: 'tenant', text: lin.canary }, canaries), { logger: undefined, line: undefined })
})
