// Piscina: its threads run one task after another, or several at once, each for another request.
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import Fastify from 'fastify'
import { Piscina } from 'piscina'
import t from 'tap'
import { carry, type Carried } from '../../lib/worker.ts'
import { listen, repeatedNames, type LogLine, type Tap } from '../support/support.ts'
import { callerOf, ctx, look, type Seen } from './workers/context.ts'
import { threadOf } from './workers/start.ts'
import { tasksEnding, type Done, type Task } from './workers/task.ts'

type Pool = Piscina<Carried<Task>, Done>

interface Served { readonly url: string, readonly pool: Pool, readonly lines: () => LogLine[] }

/** An application with a route that passes its request's task to a pool. */
async function serve (t: Tap, tasks: readonly Task[], options: { readonly concurrentTasksPerWorker: number, readonly maxThreads: number, readonly minThreads?: number, readonly name?: string }): Promise<Served> {
  const log = join(t.testdir(), 'lines')
  const { filename, options: thread } = threadOf('pool.ts', { log })
  const pool: Pool = new Piscina({ minThreads: options.maxThreads, idleTimeout: 50, ...options, filename, ...thread } as object)
  t.teardown(() => pool.destroy())
  const app = Fastify()
  await app.register(ctx.plugin)
  app.get<{ Params: { n: number } }>('/:n', async ({ params: { n } }) => {
    const done = await pool.run(carry(ctx, tasks[n]!)).catch(({ code, message }: { readonly code?: string, readonly message: string }) => ({ error: { code, message } }))
    return { ...done, then: look() }
  })
  const { url } = await listen(t, app)
  const lines = (): LogLine[] => {
    const raw = readFileSync(log, 'utf8').trimEnd().split('\n')
    t.same(raw.filter((line) => repeatedNames(line).length > 0), [], 'no name is twice on a line')
    return raw.map((line) => JSON.parse(line) as LogLine)
  }
  return { url, pool, lines }
}

interface Answer extends Done { readonly then: Seen, readonly error?: { readonly code?: string, readonly message: string } }

async function ask (url: string, n: number): Promise<Answer> {
  const { requestId, tenant, user } = callerOf(n)
  const answer = await fetch(`${url}/${n}`, { headers: { 'x-request-id': requestId, 'x-tenant-id': tenant, 'x-user': user } })
  return await answer.json() as Answer
}

/** The callers of the tasks by their log lines: two per task. */
function callersIn (t: Tap, lines: readonly LogLine[], tasks: readonly Task[]): void {
  t.equal(lines.length, 2 * tasks.length)
  for (const [n, { name }] of tasks.entries()) {
    const { requestId, tenant, user } = callerOf(n)
    const own = lines.filter(({ task }) => task === name)
    t.same(own.map(({ msg, reqId, tenant, user, token }) => ({ msg, reqId, tenant, user, token })),
      ['task begun', 'task done'].map((msg) => ({ msg, reqId: requestId, tenant, user, token: undefined })), `the lines of ${name}`)
  }
}

const NUMBERS = [0, 1, 2, 3, 4, 5]

for (const [order, ending] of Object.entries({ 'first in, first out': NUMBERS, 'first in, last out': NUMBERS.toReversed() })) {
  t.test(`one thread, ${NUMBERS.length} tasks of as many requests in it at once, ${order}: no task sees another request`, async (t) => {
    const tasks = tasksEnding(order, ending)
    const { url, lines } = await serve(t, tasks, { concurrentTasksPerWorker: NUMBERS.length, maxThreads: 1 })
    for (const [n, done] of (await Promise.all(NUMBERS.map((n) => ask(url, n)))).entries()) {
      const caller = callerOf(n)
      t.same(done, { before: {}, seen: Array(tasks[n]!.steps.length + 1).fill(caller), after: {}, then: { ...caller, token: 'secret' } }, `task ${n}`)
    }
    callersIn(t, lines(), tasks)
  })
}

t.test('the same check finds a context that is a module variable of the thread', async (t) => {
  const tasks = tasksEnding('mixed', NUMBERS.toReversed())
  const { url } = await serve(t, tasks, { concurrentTasksPerWorker: NUMBERS.length, maxThreads: 1, name: 'byVariable' })
  const all = await Promise.all(NUMBERS.map((n) => ask(url, n)))
  t.ok(all.some(({ seen }, n) => seen.some(({ tenant }) => tenant !== callerOf(n).tenant)), 'tasks see another task\'s tenant')
  t.ok(all.some(({ before }) => before.tenant !== undefined), 'and what the previous task left')
})

t.test('one thread, one task after another: each sees its own request, also after failed tasks', async (t) => {
  const tasks = NUMBERS.map((n): Task => ({ name: `task-${n}`, steps: [], ...(n % 2 === 0 ? {} : { fails: 'out of paper' }) }))
  const { url, lines } = await serve(t, tasks, { concurrentTasksPerWorker: 1, maxThreads: 1 })
  for (const [n, answer] of (await Promise.all(NUMBERS.map((n) => ask(url, n)))).entries()) {
    const then = { ...callerOf(n), token: 'secret' }
    t.same(answer, n % 2 === 0 ? { before: {}, seen: [callerOf(n)], after: {}, then } : { error: { message: 'out of paper' }, then }, `task ${n}`)
  }
  callersIn(t, lines(), tasks)
})

t.test('a task that cannot be unpacked, and one that carry did not create, do not start, and the next one starts clean', async (t) => {
  const { pool, lines } = await serve(t, [], { concurrentTasksPerWorker: 1, maxThreads: 1 })
  const run = (user: string, name: string): Promise<Done> => ctx.run({ requestId: 'request-1', tenant: 'tenant-1', user: { id: user } }, () => pool.run(carry(ctx, { name, steps: [] })))
  await t.rejects(run('gone-1', 'not begun'), { code: 'FST_CTX_UNPACK_FAILED' })
  await t.rejects(pool.run({ name: 'not begun', steps: [] } as never), { code: 'FST_CTX_INVALID_ARGUMENT' })
  t.same(await run('user-1', 'begun'), { before: {}, seen: [callerOf(1)], after: {} })
  t.same(lines().map(({ task }) => task), ['begun', 'begun'])
})

t.test('after idle threads have exited, new threads see the next requests', async (t) => {
  const tasks = tasksEnding('idle', [0, 1, 2])
  const { url, pool, lines } = await serve(t, [...tasks, { name: 'idle-3', steps: [] }], { concurrentTasksPerWorker: 3, maxThreads: 1, minThreads: 0 })
  for (const [n, { seen }] of (await Promise.all([0, 1, 2].map((n) => ask(url, n)))).entries()) t.same(seen.at(-1), callerOf(n))
  while (pool.threads.length > 0) await sleep(10)
  t.same((await ask(url, 3)).seen, [callerOf(3)])
  callersIn(t, lines(), [...tasks, { name: 'idle-3', steps: [] }])
})

t.test('examples/workers prints the expected output', async (t) => {
  // Without tap's coverage, which would count dist next to lib.
  const env = { PATH: process.env.PATH, _TAPJS_PROCESSINFO_COVERAGE_: '0' }
  const cwd = fileURLToPath(new URL('../../', import.meta.url))
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ['--import', 'tsx', 'examples/workers/main.ts'], { cwd, env, timeout: 60_000 })
  t.equal(stderr, '')
  t.same(stdout.trimEnd().split('\n').sort(), [
    'report 2026-11 of acme, with no token',
    'report 2026-11 of globex, with no token',
    '{"level":30,"reqId":"demo-acme","tenant":"acme","msg":"written in a thread"}',
    '{"level":30,"reqId":"demo-globex","tenant":"globex","msg":"written in a thread"}'
  ])
})
