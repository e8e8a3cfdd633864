import t from 'tap'
import { createContext, key, FST_CTX_INVALID_ARGUMENT, FST_CTX_NO_SCOPE } from '../../lib/index.ts'
import { carried, carry, type Carried } from '../../lib/worker.ts'
import { gate } from '../support/support.ts'

const ctx = createContext({ tenant: key<string>({ carry: true }), token: key<string>() })

/** A task as the other side of a message port, or of the channel to a child process, receives it. */
const SENT: Readonly<Record<string, <T>(task: Carried<T>) => Carried<T>>> = {
  'structured clone': (task) => structuredClone(task),
  JSON: (task) => JSON.parse(JSON.stringify(task)) as typeof task
}

for (const [name, send] of Object.entries(SENT)) {
  t.test(`a task sent as ${name} runs in the scope of its sender, with the carried keys`, async (t) => {
    const work = carried(ctx, async ({ month }: { readonly month: string }) => {
      await null
      return `${month} of ${ctx.require('tenant')}, ${ctx.require('requestId')}, ${ctx.get('token')}`
    })
    const task = ctx.run({ requestId: 'demo-1', tenant: 'acme', token: 'secret' }, () => send(carry(ctx, { month: '2026-11' })))
    t.equal(await work(task), '2026-11 of acme, demo-1, undefined')
    t.equal(ctx.get('tenant'), undefined)
  })

  t.test(`a task without data, sent as ${name}, runs as well`, async (t) => {
    const task = ctx.run({ tenant: 'acme' }, () => send(carry(ctx, undefined)))
    t.same(await carried(ctx, (data) => [data, ctx.get('tenant')])(task), [undefined, 'acme'])
  })
}

t.test('two concurrent tasks, ended in either order, do not see each other', async (t) => {
  const open = { acme: gate(), globex: gate() }
  const work = carried(ctx, async (tenant: 'acme' | 'globex') => {
    const before = ctx.get('tenant')
    await open[tenant].promise
    return [before, ctx.get('tenant')]
  })
  for (const order of [['acme', 'globex'], ['globex', 'acme']] as const) {
    Object.assign(open, { acme: gate(), globex: gate() })
    const results = (['acme', 'globex'] as const).map(async (tenant) => await work(ctx.run({ tenant }, () => carry(ctx, tenant))))
    for (const tenant of order) {
      open[tenant].open()
      t.same(await results[tenant === 'acme' ? 0 : 1], [tenant, tenant], `${tenant}, where ${order[0]} ends first`)
    }
  }
})

t.test('the remaining time is carried', async (t) => {
  const task = ctx.run({}, () => carry(ctx, undefined), { timeout: 60_000 })
  const left = await carried(ctx, () => ctx.deadline)(task)
  t.ok(left! > 0 && left! <= 60_000)
})

t.test('carry() outside a scope throws', async (t) => {
  t.throws(() => carry(ctx, {}), FST_CTX_NO_SCOPE)
})

t.test('a task that carry() did not create is refused and not started', async (t) => {
  let begun = 0
  const work = carried(ctx, () => { begun++ })
  for (const task of [undefined, null, 'a task', 7, { month: '2026-11' }, { data: {} }]) await t.rejects(work(task as never), FST_CTX_INVALID_ARGUMENT, JSON.stringify(task))
  t.equal(begun, 0)
})

t.test('if the function of a task throws or rejects, the task does too', async (t) => {
  const task = ctx.run({}, () => carry(ctx, undefined))
  const error = new Error('out of paper')
  await t.rejects(carried(ctx, () => { throw error })(task), error)
  await t.rejects(carried(ctx, async () => { throw error })(task), error)
})
