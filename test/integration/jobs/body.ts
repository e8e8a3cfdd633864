// What must hold with each BullMQ back end. The producers are requests, the consumer is another process.
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Queue, QueueEvents, type JobsOptions } from 'bullmq'
import Fastify from 'fastify'
import { gate, listen, type Lines, type LogLine, type Tap } from '../../support/support.ts'
import { callerOf, ctx, look, type Seen } from '../workers/context.ts'
import { CHILD, linesOf } from '../workers/start.ts'
import { tasksEnding, type Task } from '../workers/task.ts'
import { connect, type Where } from './backend.ts'
import { QUEUES, signed, type Data } from './context.ts'

interface Bench {
  readonly where: Where
  readonly queues: ReadonlyMap<string, Queue<Data>>
  readonly consumer: ChildProcess
  /** The log lines of the consumer. */
  readonly lines: Lines
  /** Sends a request as caller `n`, which adds a job. The response comes before the job runs. */
  readonly order: (n: number, queue: string, task: Task, options?: JobsOptions & { readonly remaining?: boolean, readonly failures?: number }) => Promise<void>
}

/** @param start starts the back end and returns its address */
export function testJobs (t: Tap, start: (t: Tap) => Promise<Where>): void {
  t.test('jobs', async (t) => {
    const bench = await open(t, start)
    await t.test('48 jobs of 48 requests in two queues, all open at once: each job and its log lines see their own request', (t) => interleaved(t, bench))
    await t.test('retries after failures: each attempt sees the request that added the job', (t) => retried(t, bench))
    await t.test('delayed jobs: they see their requests, which have long ended, and the remaining time only if it was carried', (t) => delayed(t, bench))
    await t.test('listeners of a worker: they run in no scope, or in the scope in which the worker was created; ctx.hydrate gives the scope of the job', (t) => listeners(t, bench))
    await t.test('listeners of QueueEvents in the producer: the same', (t) => events(t, bench))
    await t.test('signed envelopes: a job past its ttl is refused, and so is an altered one', (t) => envelopes(t, bench))
    await t.test('the consumer closes', async (t) => {
      bench.consumer.send('close')
      t.same(await once(bench.consumer, 'exit'), [0, null])
    })
  })
}

async function open (t: Tap, start: (t: Tap) => Promise<Where>): Promise<Bench> {
  const consumer = fork(fileURLToPath(new URL('consumer.ts', import.meta.url)), { ...CHILD, stdio: ['ignore', 'pipe', 'inherit', 'ipc'] })
  const where = await start(t)
  const queues = new Map(QUEUES.map((name) => [name as string, new Queue<Data>(name, connect(where))]))
  t.teardown(async () => {
    consumer.kill()
    for (const queue of queues.values()) await queue.close()
  })
  for (const queue of queues.values()) await queue.waitUntilReady()
  consumer.send(where)
  await once(consumer, 'message')

  const app = Fastify()
  await app.register(ctx.plugin)
  app.post<{ Params: { queue: string }, Body: { task: Task, failures: number, remaining: boolean, options: JobsOptions } }>('/:queue', async ({ params, body: { task, failures, remaining, options } }) => {
    await ctx.run({}, () => queues.get(params.queue)!.add(task.name, { context: ctx.dehydrate({ remaining }), task, failures }, options), { timeout: 60_000 })
  })
  const { url } = await listen(t, app)
  const order: Bench['order'] = async (n, queue, task, { remaining = false, failures = 0, ...options } = {}) => {
    const { requestId, tenant, user } = callerOf(n)
    const headers = { 'content-type': 'application/json', 'x-request-id': requestId, 'x-tenant-id': tenant, 'x-user': user }
    const { status } = await fetch(`${url}/${queue}`, { method: 'POST', headers, body: JSON.stringify({ task, failures, remaining, options }) })
    if (status !== 200) throw new Error(`ordering a job was answered with ${status}`)
  }
  return { where, queues, consumer, order, lines: linesOf(t, consumer.stdout!) }
}

async function interleaved (t: Tap, { order, lines }: Bench): Promise<void> {
  const numbers = Array.from({ length: 48 }, (_, n) => n)
  // Jobs of the first queue end in order, then those of the second in reverse order.
  const [first, second] = [numbers.filter((n) => n % 2 === 0), numbers.filter((n) => n % 2 === 1).toReversed()]
  const tasks = tasksEnding('job', [...first, ...second])
  await Promise.all(tasks.map((task, n) => order(n, QUEUES[n % 2]!, task)))
  await lines.until('"heard":"completed"', tasks.length)
  const written = lines.all()
  for (const [n, { name }] of tasks.entries()) {
    t.same(written.filter(({ task }) => task === name).map((line) => [line.msg, callerIn(line)]), ['attempt', 'task begun', 'task done', 'heard'].map((what) => [what, callerOf(n)]), name)
  }
  const ended = written.filter(({ msg }) => msg === 'task done').map(({ task }) => task as string)
  t.same(ended, [...first, ...second].map((n) => `job-${n}`), 'they ended in the planned order')
}

async function retried (t: Tap, { order, lines }: Bench): Promise<void> {
  const numbers = [1, 2, 3, 4, 5, 6]
  await Promise.all(numbers.map((n) => order(n, QUEUES[n % 2]!, { name: `retried-${n}`, steps: [] }, { attempts: 3, failures: 2, backoff: { type: 'fixed', delay: 20 } })))
  for (const n of numbers) await lines.until(`"heard":"completed","task":"retried-${n}"`)
  const attempts = lines.all('attempt')
  for (const n of numbers) {
    t.same(attempts.filter(({ task }) => task === `retried-${n}`).map((line) => [line.attempt, callerIn(line)]), [0, 1, 2].map((attempt) => [attempt, callerOf(n)]), `attempts of ${n}`)
  }
}

async function delayed (t: Tap, { order, lines }: Bench): Promise<void> {
  await Promise.all([1, 2, 3, 4].map((n) => order(n, QUEUES[n % 2]!, { name: `delayed-${n}`, steps: [] }, { delay: 150, remaining: n === 4 })))
  for (const n of [1, 2, 3, 4]) await lines.until(`"heard":"completed","task":"delayed-${n}"`)
  const attempts = lines.all('attempt').filter(({ task }) => (task as string).startsWith('delayed')).sort((a, b) => a.task < b.task ? -1 : 1)
  t.same(attempts.map(callerIn), [1, 2, 3, 4].map(callerOf))
  t.same(attempts.slice(0, 3).map(({ left }) => left), Array(3).fill('no limit'))
  t.type(attempts[3]!.left, 'number')
}

async function listeners (t: Tap, { order, lines }: Bench): Promise<void> {
  await order(7, 'mails', { name: 'heard-mail', steps: [], fails: 'no such address' })
  await order(8, 'lazy', { name: 'heard-lazy', steps: [], fails: 'no such address' })
  await order(9, 'lazy', { name: 'heard-again', steps: [] })
  for (const name of ['heard-mail', 'heard-lazy', 'heard-again']) await lines.until(`"task":"${name}","attempt":1`)
  const all = lines.all('heard')
  t.same(all.filter(({ outside, task }) => Object.keys(outside).length > 0 && !['heard-lazy', 'heard-again'].includes(task)), [], 'no listener saw a scope of its own, for all jobs so far')
  const { requestId, tenant } = callerOf(99)
  for (const [n, name, heard, outside] of [[7, 'heard-mail', 'failed', {}], [8, 'heard-lazy', 'failed', { requestId, tenant }], [9, 'heard-again', 'completed', { requestId, tenant }]] as const) {
    const line = all.find(({ task }) => task === name)!
    t.same([line.heard, line.outside, callerIn(line)], [heard, outside, callerOf(n)], name)
    t.equal(line.message, heard === 'failed' ? 'no such address' : undefined)
  }
  t.same(lines.all('task begun').filter(({ task }) => ['heard-lazy', 'heard-again'].includes(task)).map(callerIn), [callerOf(8), callerOf(9)], 'the jobs of that worker see their own requests')
}

async function events (t: Tap, { where, queues, order }: Bench): Promise<void> {
  const { requestId, tenant } = callerOf(99)
  const make = (): QueueEvents => new QueueEvents('reports', { ...connect(where), blockingTimeout: 200 })
  for (const [events, outside] of [[make(), {}], [ctx.run({ requestId, tenant }, make), { requestId, tenant }]] as const) {
    await events.waitUntilReady()
    const { promise, open } = gate<[outside: Seen, inside: Seen]>()
    events.on('completed', async ({ jobId }) => {
      const before = look()
      const job = await queues.get('reports')!.getJob(jobId)
      open([before, await ctx.hydrate(job!.data.context, look)])
    })
    // It is ready before it starts to read, so it may miss a job that completes in between. It gets another one.
    const orderOne = (): void => { order(5, 'reports', { name: 'told', steps: [] }).catch(() => {}) }
    orderOne()
    const again = setInterval(orderOne, 2000)
    t.same(await promise, [outside, callerOf(5)])
    clearInterval(again)
    await events.close()
  }
}

async function envelopes (t: Tap, { queues, lines }: Bench): Promise<void> {
  const queue = queues.get('mails')!
  const context = signed.patient.run({ tenant: 'acme' }, () => signed.patient.dehydrate({ remaining: false }))
  const add = async (name: string, reader: keyof typeof signed, text: string): Promise<void> => {
    await queue.add(name, { context: text, reader, task: { name, steps: [] } }, { delay: 250 })
  }
  await Promise.all([add('in time', 'patient', context), add('too late', 'strict', context), add('altered', 'patient', context.replace('acme', 'evil'))])
  for (const name of ['in time', 'too late', 'altered']) await lines.until(`"task":"${name}","attempt":1`)
  t.same(lines.all('heard').filter(({ task }) => ['in time', 'too late', 'altered'].includes(task)).map(({ task, heard, code }) => [task, heard, code]).sort(), [
    ['altered', 'failed', 'FST_CTX_ENVELOPE_REFUSED'],
    ['in time', 'completed', undefined],
    ['too late', 'failed', 'FST_CTX_ENVELOPE_REFUSED']
  ])
  const [{ returnvalue } = {}] = (await queue.getCompleted(0, 100)).filter(({ name }) => name === 'in time')
  t.equal(returnvalue, 'acme')
}

function callerIn ({ reqId, tenant, user }: LogLine): Seen {
  return { requestId: reqId, tenant, user }
}
