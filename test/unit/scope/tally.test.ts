import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import Fastify from 'fastify'
import t from 'tap'
import { createContext, key } from '../../../lib/index.ts'
import { startTally, Tally, tallyOf } from '../../../lib/scope/tally.ts'
import type { Scope } from '../../../lib/scope/scope.ts'
import { gate, listen, turns } from '../../support/support.ts'

const newContext = (diagnostics = false) => createContext({ tenant: key<string>({ seed: () => 'acme' }) }, { diagnostics })

t.test('a context has no tally until one is started, and then keeps it', async (t) => {
  const owner = {}
  t.equal(tallyOf(owner), undefined)
  const tally = startTally(owner)
  t.equal(startTally(owner), tally)
  t.equal(tallyOf(owner), tally)
  t.equal(tallyOf({}), undefined)
})

t.test('a root that opened before the count started is not counted when it ends', async (t) => {
  const tally = new Tally()
  const before = { number: 1 } as Scope
  const scope = { number: 2 } as Scope
  tally.open(scope)
  tally.end(before)
  t.same(tally.openRoots().map(({ scope }) => scope.number), [2])
  tally.end(scope)
  tally.end(scope)
  t.same(tally.openRoots(), [])
  t.match(tally.counts, { opened: 1, ended: 1, collected: 0 })
  t.equal(tally.beginOf(scope), undefined)
})

t.test('open roots are found among many', async (t) => {
  const tally = new Tally()
  const scopes = Array.from({ length: 5000 }, (_, number) => ({ number }) as Scope)
  for (const scope of scopes) tally.open(scope)
  t.equal(tally.openRoots().length, scopes.length)
})

t.test('a counted scope that nothing references can be collected, and is counted as collected', async (t) => {
  setFlagsFromString('--expose-gc')
  const collectGarbage = runInNewContext('gc') as () => void
  const ctx = newContext()
  ctx.inFlight()
  for (let i = 0; i < 5; i++) ctx.run({ requestId: `job-${i}` }, () => new Promise(() => {})).catch(t.fail)
  t.match(ctx.inFlight(), { open: { run: 5 }, counts: { opened: 5, collected: 0 } })
  for (let i = 0; i < 50 && ctx.inFlight().counts.collected < 5; i++) {
    await turns(10)
    collectGarbage()
  }
  t.match(ctx.inFlight(), { open: { run: 0 }, counts: { opened: 5, ended: 0, collected: 5 } })
})

for (const diagnostics of [true, false]) {
  t.test(`misuse is counted each time, with diagnostics: ${diagnostics}`, async (t) => {
    const ctx = newContext(diagnostics)
    ctx.inFlight()
    const [late, running] = [gate(), gate()]
    const reads: unknown[] = []
    const app = Fastify()
    app.addHook('onRequest', async () => { ctx.get('tenant') })
    await app.register(ctx.plugin)
    app.get('/', async () => {
      late.promise.then(() => { reads.push(ctx.get('tenant')) }).catch(t.fail)
      ctx.run({}, async () => { await running.promise }).catch(t.fail)
      return 'ok'
    })
    const { url } = await listen(t, app)
    for (let i = 0; i < 3; i++) await (await fetch(url)).text()
    await turns(10)
    late.open()
    running.open()
    await turns(10)
    t.same(reads, [undefined, undefined, undefined])
    const { counts } = ctx.inFlight()
    // A hook before the plugin is watched from the second request of its route on.
    t.same(counts, { opened: 3, ended: 3, collected: 0, lateReads: 3, stillOpen: 3, earlyReads: diagnostics ? 2 : 0 })
  })
}

t.test('without a tally misuse still emits warnings, and nothing is counted', async (t) => {
  const ctx = newContext(true)
  const app = Fastify()
  app.addHook('onRequest', async () => { ctx.get('tenant') })
  await app.register(ctx.plugin)
  const running = gate()
  app.get('/untallied', async () => { ctx.run({}, async () => { await running.promise }).catch(t.fail); return 'ok' })
  const { url } = await listen(t, app)
  for (let i = 0; i < 2; i++) await (await fetch(`${url}/untallied`)).text()
  await turns(10)
  running.open()
  t.match(ctx.inFlight().counts, { opened: 0, ended: 0, earlyReads: 0, stillOpen: 0 })
})
