import { EventEmitter } from 'node:events'
import t from 'tap'
import { flowProducerOf, queueOf, workerOf } from '../../../lib/bullmq/classes.ts'
import { JobScopes, type JobLike } from '../../../lib/bullmq/job-scopes.ts'
import { createContext, key } from '../../../lib/index.ts'
import { gate, turns } from '../../support/support.ts'

// Stand-ins for BullMQ's classes, which need a server. test/integration/jobs.test.ts uses the real ones.

interface Added { readonly queueName: string, readonly name: string, readonly data: unknown, readonly opts: object, readonly children?: Added[] }

class FakeQueue {
  readonly madeIn = ctx.get('tenant')
  readonly jobs: Added[] = []
  readonly name: string
  readonly options: object | undefined

  constructor (name: string, options?: object) {
    this.name = name
    this.options = options
  }

  async add (name: string, data: unknown, opts: object): Promise<Added> {
    const job = { queueName: this.name, name, data, opts }
    this.jobs.push(job)
    return job
  }

  async addBulk (jobs: readonly Added[]): Promise<unknown[]> {
    return await Promise.all(jobs.map(({ name, data, opts }) => FakeQueue.prototype.add.call(this, name, data, opts)))
  }
}

class FakeFlowProducer {
  readonly madeIn = ctx.get('tenant')
  readonly calls: unknown[][] = []

  async add (...args: unknown[]): Promise<unknown> {
    this.calls.push(args)
    return args[0]
  }

  async addBulk (...args: unknown[]): Promise<unknown> {
    this.calls.push(args)
    return args[0]
  }
}

type Processor = (job: JobLike, ...rest: unknown[]) => Promise<unknown>

class FakeWorker extends EventEmitter {
  readonly madeIn = ctx.get('tenant')
  ranIn: string | undefined = 'not yet'
  readonly processor: Processor

  constructor (_name: string, processor: Processor) {
    super()
    this.processor = processor
  }

  run (speed: number): number {
    this.ranIn = ctx.get('tenant')
    return speed
  }

  /** Works on a job like BullMQ: the events come from its own loop. */
  async work (job: JobLike, ...rest: unknown[]): Promise<void> {
    this.emit('active', job, 'waiting')
    try {
      const result = await this.processor(job, ...rest)
      this.emit('completed', job, result, 'active')
    } catch (error) {
      this.emit('failed', job, error, 'active')
    }
    this.emit('drained')
  }
}

const ctx = createContext({ tenant: key<string>({ carry: true }) }, { envelope: { secrets: ['a secret of 32 characters, or so'] } })
const jobs = new JobScopes(ctx, {})
const Queue = queueOf(FakeQueue, jobs) as typeof FakeQueue
const FlowProducer = flowProducerOf(FakeFlowProducer, jobs) as typeof FakeFlowProducer
const Worker = workerOf(FakeWorker, jobs) as typeof FakeWorker

async function jobOf (tenant: string, data: unknown = {}): Promise<JobLike> {
  return await ctx.run({ tenant }, async () => await new Queue('mails').add('send', data, {}))
}

/** The tenant that code sees in the scope of a job. */
const tenantOf = async (job: JobLike): Promise<string | undefined> => await jobs.run(job, () => ctx.get('tenant'))

t.test('the classes extend the given ones, keep their names, and are created outside every scope', async (t) => {
  for (const [Bound, Base] of [[Queue, FakeQueue], [FlowProducer, FakeFlowProducer], [Worker, FakeWorker]] as const) {
    t.equal(Bound.name, Base.name)
    const made = ctx.run({ tenant: 'acme' }, () => new (Bound as new (...args: unknown[]) => { readonly madeIn: string | undefined })('mails', async () => {}, { connection: {} }))
    t.ok(made instanceof Base && made instanceof Bound)
    t.equal(made.constructor.name, Base.name)
    t.equal(made.madeIn, undefined)
    class Further extends (Bound as new (...args: unknown[]) => object) { readonly more = ctx.get('tenant') }
    const further = ctx.run({ tenant: 'acme' }, () => new Further('mails'))
    t.ok(further instanceof Further && further instanceof Base)
    t.equal(further.more, 'acme')
  }
  t.same(new Queue('mails', { prefix: 'x' }).options, { prefix: 'x' })
})

t.test('add() and addBulk() of a queue give each job the current scope', async (t) => {
  const queue = new Queue('mails')
  const added = await ctx.run({ tenant: 'acme' }, async () => {
    await turns(1)
    return await queue.add('send', { to: 'ada' }, { attempts: 3 })
  })
  t.match(added, { name: 'send', data: { to: 'ada' }, opts: { attempts: 3 } })
  t.equal(await tenantOf(added), 'acme')
  const list = [{ name: 'send', data: 1, opts: { delay: 5 } }, { name: 'send', data: 2 }]
  await ctx.run({ tenant: 'globex' }, () => queue.addBulk(list as never))
  t.same(list, [{ name: 'send', data: 1, opts: { delay: 5 } }, { name: 'send', data: 2 }], 'the arguments do not change')
  t.same(await Promise.all(queue.jobs.slice(1).map(tenantOf)), ['globex', 'globex'])
  t.match(queue.jobs[1]!.opts, { delay: 5 })
})

t.test('a value that cannot be carried rejects, and no job is added', async (t) => {
  const queue = new Queue('mails')
  await t.rejects(ctx.run({ tenant: 1n as never }, () => queue.add('send', {}, {})), { code: 'FST_CTX_NOT_CARRIABLE' })
  await t.rejects(ctx.run({ tenant: 1n as never }, () => queue.addBulk([{ name: 'send' }] as never)), { code: 'FST_CTX_NOT_CARRIABLE' })
  await t.rejects(ctx.run({ tenant: 1n as never }, () => new FlowProducer().add({ name: 'send', queueName: 'mails' })), { code: 'FST_CTX_NOT_CARRIABLE' })
  t.same(queue.jobs, [])
})

t.test('each job of a flow gets the current scope, for its own queue', async (t) => {
  const producer = new FlowProducer()
  const flow = { name: 'report', queueName: 'reports', children: [{ name: 'page', queueName: 'pages', data: 1, opts: { attempts: 2 } }, { name: 'page', queueName: 'pages', children: [] }] }
  await ctx.run({ tenant: 'acme' }, async () => { await producer.add(flow, { queuesOptions: {} }) })
  await ctx.run({ tenant: 'globex' }, async () => { await producer.addBulk([flow, flow]) })
  t.same(producer.calls[0]![1], { queuesOptions: {} })
  const added = [producer.calls[0]![0], ...producer.calls[1]![0] as unknown[]] as Added[]
  for (const [i, tenant] of ['acme', 'globex', 'globex'].entries()) {
    for (const job of [added[i]!, ...added[i]!.children!]) t.equal(await tenantOf({ ...job, data: job.data ?? {} }), tenant)
  }
  t.match(added[0]!.children![0]!.opts, { attempts: 2 })
  t.notOk('children' in added[0]!.children![0]!)
})

t.test('a worker runs its processor and the listeners of a job in the scope of the job, for many jobs at once', async (t) => {
  const gates = Array.from({ length: 4 }, () => gate())
  const heard: string[] = []
  const worker = ctx.run({ tenant: 'maker' }, () => new Worker('mails', async ({ data }) => {
    heard.push(`${data} begun ${ctx.get('tenant')}`)
    await gates[data as number]!.promise
    heard.push(`${data} done ${ctx.get('tenant')}`)
    if (data === 2) throw new Error('failed')
    return ctx.get('tenant')
  }))
  for (const event of ['active', 'completed', 'failed']) worker.on(event, ({ data }: JobLike) => { heard.push(`${data} ${event} ${ctx.get('tenant')}`) })
  worker.on('drained', () => { heard.push(`drained ${ctx.get('tenant')}`) })
  const working = gates.map(async (_, i) => { await worker.work(await jobOf(`tenant ${i}`, i)) })
  while (heard.length < 8) await turns()
  for (const { open } of gates.toReversed()) open()
  await Promise.all(working)
  for (const i of gates.keys()) {
    t.same(heard.filter((line) => line.startsWith(String(i))), [`${i} active undefined`, `${i} begun tenant ${i}`, `${i} done tenant ${i}`, `${i} ${i === 2 ? 'failed' : 'completed'} tenant ${i}`])
  }
  t.same(heard.filter((line) => line.startsWith('drained')), Array(4).fill('drained undefined'))
})

t.test('a processor keeps its name, length, arguments and synchronous errors', async (t) => {
  const error = new Error('at once')
  const calls: unknown[][] = []
  const worker = new Worker('mails', function send (_job: JobLike, ..._rest: unknown[]) { calls.push([...arguments]); throw error } as Processor)
  t.same([worker.processor.name, worker.processor.length], ['send', 1])
  t.equal(new Worker('mails', async (_job, _token, _signal) => {}).processor.length, 3)
  const job = await jobOf('acme')
  await t.rejects(worker.processor(job, 'token', 'signal'), error)
  t.same(calls, [[job, 'token', 'signal']])
})

t.test('the path of a sandboxed processor is passed on unchanged', async (t) => {
  for (const processor of ['/processor.js', new URL('file:///processor.js'), undefined, null]) t.equal(new Worker('mails', processor as never).processor, processor)
})

t.test('run() starts the loop outside every scope', async (t) => {
  const worker = new Worker('mails', async () => {})
  t.equal(ctx.run({ tenant: 'acme' }, () => worker.run(2)), 2)
  t.equal(worker.ranIn, undefined)
})

t.test('a refused job fails at once and is not retried; its listeners have no scope', async (t) => {
  let ran = 0
  const worker = new Worker('mails', async () => { ran++ })
  const heard: unknown[] = []
  worker.on('failed', (_job: JobLike, { code, name }: { code: string, name: string }) => { heard.push([code, name, ctx.get('tenant')]) })
  const job = await jobOf('acme', { to: 'ada' })
  await worker.work({ ...job, data: { to: 'eve' } })
  t.same(heard, [['FST_CTX_ENVELOPE_REFUSED', 'UnrecoverableError', undefined]])
  t.equal(ran, 0)
})

t.test('if the processor itself refuses an envelope, the job fails as with any other error', async (t) => {
  const worker = new Worker('mails', async () => { await ctx.hydrate('garbage', () => {}) })
  const heard: unknown[] = []
  worker.on('failed', (_job: JobLike, { code, name }: { code: string, name: string }) => { heard.push([code, name, ctx.get('tenant')]) })
  await worker.work(await jobOf('acme'))
  t.same(heard, [['FST_CTX_ENVELOPE_REFUSED', 'FastifyError', 'acme']])
})
