import t from 'tap'
import { HookCall, isThenable, Settling } from '../../../lib/patches/hook-call.ts'

function counting () {
  return { holds: 0, hooks: 0, phase: '', current: undefined, hold () { this.holds++ }, release () { this.holds-- }, openHook () { this.hooks++ }, closeHook () { this.hooks-- } }
}

t.test('HookCall increments and decrements the count once, even if a hook settles twice', async (t) => {
  for (const isBeforeHandler of [true, false]) {
    const lifetime = counting()
    const call = new HookCall(lifetime as never, 'preHandler', isBeforeHandler)
    t.equal(lifetime.holds + lifetime.hooks, 1)
    call.settle()
    call.settle()
    t.equal(call.failed('error'), 'error')
    t.same([lifetime.holds, lifetime.hooks, lifetime.phase], [0, 0, 'preHandler'])
    t.equal(call.returned('value'), 'value')
  }
})

t.test('Settling passes on the thenable itself, and holds until it has settled', async (t) => {
  const lifetime = counting()
  const call = new HookCall(lifetime as never, 'preHandler', true)
  let resolve: (value: unknown) => void = () => {}
  const settling = call.returned({ then (ok: (value: unknown) => void) { resolve = ok } }) as Settling
  t.ok(isThenable(settling))
  const seen: unknown[] = []
  settling.then((value: unknown) => { seen.push(value) }, t.error)
  t.same([lifetime.holds, lifetime.hooks], [1, 0])
  resolve('once')
  resolve('twice')
  t.same([lifetime.holds, lifetime.hooks], [0, 0])
  t.same(seen, ['once', 'twice'])
})

t.test('isThenable decides as Fastify does', async (t) => {
  t.equal(isThenable(Promise.resolve()), true)
  for (const value of [undefined, null, {}, 'text', 0]) t.equal(isThenable(value), false)
})
