import t from 'tap'
import { Canaries } from '../../../lib/testing/canary.ts'
import { plan, type Burst } from '../../../lib/testing/plan.ts'
import type { MakeRequest, SentRequest } from '../../../lib/testing/sent-request.ts'

const get: MakeRequest = (canary) => ({ url: `/${canary}` })
const post: MakeRequest = async (canary) => ({ url: '/', method: 'POST', body: `${canary} and more of it` })

const planned = (makes: readonly MakeRequest[], { seed = 7, rounds = 4, concurrency = 4 } = {}): Promise<Burst[]> => plan(makes, { seed, rounds, concurrency }, new Canaries<SentRequest>())

/** The parts of a plan that do not depend on the canaries. */
function outline (bursts: readonly Burst[]): unknown {
  return bursts.map(({ pace, requests, release, oneByOne, steps }) => [pace, oneByOne, steps, release.map(({ number }) => number), requests.map(({ number, index, pieces, chunked, wait }) => [number, index, pieces.map(({ length }) => length), chunked, wait])])
}

t.test('a plan depends only on its seed, except for the canaries', async (t) => {
  const [first, second] = [await planned([get, post]), await planned([get, post])]
  t.same(outline(first), outline(second))
  t.notSame(outline(first), outline(await planned([get, post], { seed: 8 })))
  const canaries = [...first, ...second].flatMap(({ requests }) => requests.map(({ canary }) => canary))
  t.equal(new Set(canaries).size, canaries.length)
})

for (const count of [1, 3, 9]) {
  t.test(`a plan of ${count} requests runs each with itself at every pace, and mixes all of them, in bursts of at most 4`, async (t) => {
    const makes = Array.from({ length: count }, (_, i): MakeRequest => (canary) => ({ url: `/${i}/${canary}` }))
    const bursts = await planned(makes)
    for (const index of makes.keys()) {
      const alone = bursts.filter(({ requests }) => requests.length === 4 && requests.every((sent) => sent.index === index))
      t.same([...new Set(alone.map(({ pace }) => pace))].sort(), ['gated', 'lockstep', 'staggered', 'together'], `request ${index}`)
    }
    const met = bursts.filter(({ requests }) => new Set(requests.map(({ index }) => index)).size > 1).flatMap(({ requests }) => requests.map(({ index }) => index))
    t.equal(new Set(met).size, count === 1 ? 0 : count)
    t.ok(bursts.every(({ requests }) => requests.length <= 4))
    t.same(bursts.flatMap(({ requests }) => requests.map(({ number }) => number)).sort((a, b) => a - b), Array.from({ length: bursts.flatMap(({ requests }) => requests).length }, (_, i) => i + 1))
    for (const { requests, release } of bursts) t.same(new Set(release), new Set(requests))
  })
}

t.test('in some bursts all requests proceed at once, in others a few awaits pass between them', async (t) => {
  const bursts = await planned([get, post])
  for (const { requests, steps } of bursts) t.equal(steps.length, requests.length)
  const sums = bursts.map(({ steps }) => steps.reduce((sum, step) => sum + step, 0))
  t.ok(sums.includes(0))
  t.ok(sums.some((sum) => sum > 0))
  t.ok(bursts.every(({ steps }) => steps.every((step) => step >= 0 && step <= 3)))
})

t.test('the pieces of a body add up to it, are never empty, and differ per request', async (t) => {
  const requests = (await planned([post])).flatMap(({ requests }) => requests)
  for (const { pieces, canary } of requests) {
    t.equal(Buffer.concat(pieces).toString(), `${canary} and more of it`)
    t.ok(pieces.every(({ length }) => length > 0))
  }
  t.ok(new Set(requests.map(({ pieces }) => pieces.length)).size > 1)
  t.ok(new Set(requests.map(({ chunked }) => chunked)).size === 2)
  t.same((await planned([get]))[0]!.requests[0]!.pieces, [])
})

t.test('a request that ignores its canary is refused, with its position in the list', async (t) => {
  const blind: MakeRequest = () => ({ url: '/orders', headers: { 'x-tenant-id': 'acme' } })
  await t.rejects(planned([get, blind]), { code: 'FST_CTX_INVALID_ARGUMENT', message: /request 2, GET \/orders,/ })
})

t.test('a value that does not create a request is refused', async (t) => {
  for (const made of [undefined, null, 'url', {}, { url: 'orders' }, { url: 1 }, { url: '/', method: 1 }, { url: '/', headers: null }, { url: '/', headers: 'x' }]) {
    await t.rejects(planned([(() => made) as never]), { code: 'FST_CTX_INVALID_ARGUMENT', message: /request 1/ }, JSON.stringify(made))
  }
  await t.rejects(planned([async () => { throw new Error('login failed') }]), { message: 'login failed' })
})
