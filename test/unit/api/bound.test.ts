import { EventEmitter } from 'node:events'
import t from 'tap'
import { createContext, key } from '../../../lib/index.ts'

const ctx = createContext({ tenant: key<string>() })

t.test('bind: the function always runs in the scope in which it was bound', async (t) => {
  const greet = ctx.run({ tenant: 'acme' }, () => ctx.bind(function (this: { name: string }, greeting: string) { return `${greeting} ${this.name} of ${ctx.get('tenant')}` }))
  t.equal(greet.call({ name: 'ada' }, 'hi'), 'hi ada of acme')
  t.equal(ctx.run({ tenant: 'other' }, () => greet.call({ name: 'ada' }, 'hi')), 'hi ada of acme')
  const outside = ctx.bind(() => ctx.get('tenant'))
  t.equal(ctx.run({ tenant: 'acme' }, outside), undefined)
  t.same([greet.length, ctx.bind(function named (_a: unknown, _b: unknown) {}).name, ctx.bind(() => {}).name], [1, 'named', ''], 'with its original name and length')
  t.throws(() => ctx.bind('fn' as never), { code: 'FST_CTX_INVALID_ARGUMENT' })
})

t.test('snapshot: runs any function in the scope in which it was taken', async (t) => {
  const inScope = ctx.run({ tenant: 'acme' }, () => ctx.snapshot())
  t.equal(inScope(() => ctx.get('tenant')), 'acme')
  t.equal(ctx.run({ tenant: 'other' }, () => inScope((a: number, b: number) => `${a + b} ${ctx.get('tenant')}`, 1, 2)), '3 acme')
  t.equal(ctx.run({ tenant: 'other' }, () => ctx.snapshot()(() => ctx.get('tenant'))), 'other')
  for (const none of [undefined, null, {}, 'fn']) t.throws(() => inScope(none as never), { code: 'FST_CTX_INVALID_ARGUMENT', message: /^ctx\.snapshot takes / })
})

t.test('bindEmitter: listeners run in the scope in which they were added; other values are refused', async (t) => {
  const emitter = ctx.bindEmitter(new EventEmitter())
  const seen: unknown[] = []
  for (const tenant of ['A', 'B']) ctx.run({ tenant }, () => { emitter.on('event', () => { seen.push(ctx.get('tenant')) }) })
  ctx.run({ tenant: 'C' }, () => { emitter.emit('event') })
  t.same(seen, ['A', 'B'])
  for (const other of [undefined, null, {}, new EventTarget(), { on () {} }]) t.throws(() => ctx.bindEmitter(other as never), { code: 'FST_CTX_INVALID_ARGUMENT', message: /takes an EventEmitter of Node; .* bind each listener with ctx\.bind\(listener\)$/ })
})
