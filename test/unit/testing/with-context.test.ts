import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { createContext, ctx as readyMade, key } from '../../../lib/index.ts'
import { withContext } from '../../../lib/testing/with-context.ts'

const ctx = createContext({ tenant: key<string>({ locked: true }), user: key<string>() })
const seen = (): unknown[] => [ctx.get('tenant'), ctx.get('user')]

t.test('withContext: a sync or async body has the values, of the ready-made or of a custom context, and nothing after it has them', async (t) => {
  t.same(withContext(ctx, { tenant: 'acme' }, seen)(), ['acme', undefined])
  t.same(await withContext(ctx, { tenant: 'acme' }, async () => { await turn(); return seen() })(), ['acme', undefined])
  t.same(withContext({ tenant: 'acme' } as never, () => readyMade.get('tenant' as never))(), 'acme')
  t.same(withContext({ requestId: 'id-1' }, () => [readyMade.get('requestId'), ctx.get('requestId')])(), ['id-1', undefined])
  t.same([...seen(), readyMade.get('requestId')], [undefined, undefined, undefined])
})

t.test('withContext restores the outer scope, regardless of how the body ends', async (t) => {
  await ctx.run({ tenant: 'outer' }, async () => {
    t.throws(withContext(ctx, { tenant: 'inner' }, () => { throw new Error(String(ctx.get('tenant'))) }), { message: 'inner' })
    t.same(seen(), ['outer', undefined])
    await t.rejects(withContext(ctx, { tenant: 'inner' }, async () => { await turn(); throw new Error(String(ctx.get('tenant'))) })(), { message: 'inner' })
    t.same(seen(), ['outer', undefined])
  })
})

t.test('withContext: each call is a separate root that sees no outer values and none of other calls', async (t) => {
  const ids = new Set<unknown>()
  const body = withContext(ctx, { user: 'ada' }, () => {
    const before = seen()
    ids.add(ctx.get('requestId'))
    ctx.set('user', 'changed')
    ctx.set('tenant', 'set')
    return before
  })
  const around = (): unknown => ctx.run({ tenant: 'outer', user: 'outer' }, body)
  t.same([body(), around(), body()], [[undefined, 'ada'], [undefined, 'ada'], [undefined, 'ada']])
  t.equal(ids.size, 3)
})

t.test('withContext passes on arguments, this and the result, and keeps name, length and source text', async (t) => {
  function named (this: unknown, a: number, b: number): unknown {
    return [this, a, b]
  }
  const body = withContext(ctx, {}, named)
  const self = {}
  t.same(body.call(self, 1, 2), [self, 1, 2])
  t.equal((body.call(self, 1, 2) as unknown[])[0], self)
  t.same([body.name, body.length, body.toString()], ['named', 2, named.toString()])
  t.same([0, 1].map((length) => withContext(ctx, {}, length === 0 ? () => {} : (_done: unknown) => {}).length), [0, 1])
  const result = Promise.resolve()
  t.equal(withContext(ctx, {}, () => 7)(), 7)
  t.ok(withContext(ctx, {}, async () => result)() instanceof Promise)
})

t.test('withContext: a callback-style test still has the values when it calls done', async (t) => {
  await new Promise<void>((resolve) => {
    withContext(ctx, { tenant: 'acme' }, (done: () => void) => {
      setImmediate(() => {
        t.same(seen(), ['acme', undefined])
        done()
      })
    })(resolve)
  })
})

t.test('withContext: invalid arguments throw when the test is defined, an unknown key when it runs', async (t) => {
  for (const given of [[], [{}], [undefined, () => {}], [null, () => {}], ['acme', () => {}], [{}, 'fn'], [ctx], [ctx, {}], [ctx, () => {}], [ctx, null, () => {}]]) {
    t.throws(() => (withContext as (...given: unknown[]) => unknown)(...given), { code: 'FST_CTX_INVALID_ARGUMENT' }, JSON.stringify(given))
  }
  t.throws(withContext(ctx, { tenantt: 'acme' } as never, () => {}), { code: 'FST_CTX_UNKNOWN_KEY' })
})
