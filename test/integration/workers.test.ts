// Long-lived worker threads and child processes: a task sees the context of its sender, and nothing of other tasks.
import Fastify from 'fastify'
import t from 'tap'
import { carry } from '../../lib/worker.ts'
import { listen, type Tap } from '../support/support.ts'
import { callerOf, ctx, look, type Seen } from './workers/context.ts'
import { startChild, startThread, type Remote, type Started } from './workers/start.ts'
import { tasksEnding, type Task } from './workers/task.ts'
import type { Reply } from './workers/worker.ts'

const COUNT = 12
const numbers = Array.from({ length: COUNT }, (_, n) => n)

const ORDERS = { 'first in, first out': numbers, 'first in, last out': numbers.toReversed() }

const byTask = (a: { readonly task: string }, b: { readonly task: string }): number => a.task < b.task ? -1 : 1

/** Stands for a caller, outside any request. */
function as<R> (n: number, fn: () => R): R {
  const { requestId, tenant, user } = callerOf(n)
  return ctx.run({ requestId, tenant, user: { id: user }, token: 'secret' }, fn)
}

/** Sends each task from its own request, all at once. Returns the results, and what each request saw afterwards. */
async function fromRequests (t: Tap, remote: Remote, tasks: readonly Task[]): Promise<Array<{ readonly reply: Reply, readonly then: Seen }>> {
  const app = Fastify()
  await app.register(ctx.plugin)
  app.get<{ Params: { n: number } }>('/:n', async ({ params: { n } }) => {
    const reply = await remote.run(carry(ctx, tasks[n]!))
    return { reply, then: look() }
  })
  const { url } = await listen(t, app)
  return await Promise.all(tasks.map(async (_, n) => {
    const { requestId, tenant, user } = callerOf(n)
    const answer = await fetch(`${url}/${n}`, { headers: { 'x-request-id': requestId, 'x-tenant-id': tenant, 'x-user': user } })
    return await answer.json() as { reply: Reply, then: Seen }
  }))
}

const KINDS: ReadonlyArray<readonly [name: string, start: (t: Tap) => Started]> = [['worker thread', startThread], ['child process of fork', startChild]]

for (const [name, start] of KINDS) {
  t.test(name, async (t) => {
    const { remote, lines } = start(t)

    for (const [order, ending] of Object.entries(ORDERS)) {
      await t.test(`${COUNT} concurrent tasks from requests, ${order}: each task and its log lines see their own request`, async (t) => {
        const tasks = tasksEnding(order, ending)
        const answers = await fromRequests(t, remote, tasks)
        for (const [n, { reply, then }] of answers.entries()) {
          const caller = callerOf(n)
          t.same(reply.seen, Array(tasks[n]!.steps.length + 1).fill(caller), `task ${n}, at each step; a key that is not carried is not there`)
          t.same([reply.before, reply.after], [{}, {}], 'nothing remains after the task')
          t.same(then, { ...caller, token: 'secret' }, 'the request continues in its own scope')
        }
        await lines.until(order, 2 * COUNT)
        for (const message of ['task begun', 'task done']) {
          const written = lines.all(message).filter(({ task }) => (task as string).startsWith(order))
          const told = written.map(({ reqId, tenant, user, token, task }) => ({ reqId, tenant, user, token, task }))
          t.same(told.sort(byTask), numbers.map((n) => {
            const { requestId, tenant, user } = callerOf(n)
            return { reqId: requestId, tenant, user, token: undefined, task: `${order}-${n}` }
          }).sort(byTask), message)
        }
      })
    }

    await t.test('after a task throws, its error is returned and the next one starts clean', async (t) => {
      const failed = await as(1, () => remote.run(carry(ctx, { name: 'failing', steps: [], fails: 'out of paper' })))
      t.equal(failed.error?.message, 'out of paper')
      t.same([failed.before, failed.after], [{}, {}])
      const next = await as(2, () => remote.run(carry(ctx, { name: 'next', steps: [] })))
      t.same(next, { id: next.id, before: {}, seen: [callerOf(2)], after: {} })
    })

    await t.test('a task that cannot be unpacked does not start, and the next one starts clean', async (t) => {
      const failed = await ctx.run({ tenant: 'tenant-1', user: { id: 'gone-1' } }, () => remote.run(carry(ctx, { name: 'not begun', steps: [] })))
      t.equal(failed.error?.code, 'FST_CTX_UNPACK_FAILED')
      t.same([failed.before, failed.after], [{}, {}])
      t.equal((await as(2, () => remote.run(carry(ctx, { name: 'after it', steps: [] })))).seen?.[0]?.tenant, 'tenant-2')
      t.same(lines.raw.filter((line) => line.includes('not begun')), [])
    })

    await t.test('while another task is open, an invalid envelope runs without values, and a task not created by carry is refused', async (t) => {
      const open = as(1, () => remote.run(carry(ctx, { name: 'open', steps: [{ open: 'it begins' }, { wait: 'the others are done' }] })))
      const forged = await remote.run({ context: '{"v":1}', data: { name: 'no envelope', steps: [{ wait: 'it begins' }] } })
      t.match(forged.seen, [{ requestId: /^[\w-]{36}$/, tenant: undefined, user: undefined }, { tenant: undefined, user: undefined }])
      const bare = await remote.run({ name: 'as it is', steps: [] })
      t.equal(bare.error?.code, 'FST_CTX_INVALID_ARGUMENT')
      await as(2, () => remote.run(carry(ctx, { name: 'last', steps: [{ open: 'the others are done' }] })))
      t.same((await open).seen, Array(3).fill(callerOf(1)))
    })

    await t.test('callbacks of a worker that callers share have no scope, and ctx.bind gives each its own', async (t) => {
      const calledBack = async (wrap: typeof ctx.bind): Promise<Seen[]> => await Promise.all(tasksEnding(`called back ${wrap.name}`, numbers.toReversed()).map(async (task, n) =>
        await as(n, () => new Promise<Seen>((resolve) => { remote.call(carry(ctx, task), wrap(() => { resolve(look()) })) }))))
      t.same(await calledBack((fn) => fn), Array(COUNT).fill({}))
      t.same(await calledBack(ctx.bind.bind(ctx)), numbers.map((n) => ({ ...callerOf(n), token: 'secret' })))
    })
  })
}
