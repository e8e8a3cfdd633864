// What must hold for the classes of fastify-ctx/bullmq with each back end of BullMQ. The producers are requests, the consumers are workers of the same process.
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import * as bullmq from 'bullmq'
import Fastify from 'fastify'
import { bindBullMQ } from '../../../lib/bullmq.ts'
import { createContext, key } from '../../../lib/index.ts'
import { gate, listen, type Tap } from '../../support/support.ts'
import { connect, type Where } from './backend.ts'

export const ctx = createContext({
  tenant: key<string>({ seed: ({ headers }) => headers['x-tenant-id'], log: true, carry: true, locked: true }),
  note: key<string>({ carry: true })
}, { envelope: { secrets: ['a secret of these tests, and of nobody else'] } })

interface Data { readonly n: number, readonly step?: number }
type Job = bullmq.Job<Data>

const bound = bindBullMQ(ctx, bullmq)
export const { run } = bound
const open = bindBullMQ(ctx, bullmq, { missing: 'run', signData: false })

/** Each event of a job, with the tenant that its code sees. */
class Heard {
  readonly all: Array<readonly [what: string, n: number, seen: string | undefined, code?: string]> = []

  note (what: string, n: number, code?: string): void {
    this.all.push(code === undefined ? [what, n, ctx.get('tenant')] : [what, n, ctx.get('tenant'), code])
  }

  of (n: number): unknown[] {
    return this.all.filter((line) => line[1] === n).map(([what, , ...rest]) => [what, ...rest])
  }

  async until (count: number, ...whats: string[]): Promise<void> {
    while (this.all.filter(([what]) => whats.includes(what)).length < count) await sleep(20)
  }
}

/** Creates a worker in an unrelated request, which neither its jobs nor its listeners may see. */
function consume ({ Worker }: typeof bound, where: Where, name: string, fn: (job: Job) => unknown): Heard {
  const heard = new Heard()
  const worker = ctx.run({ tenant: 'of the maker' }, () => new Worker<Data>(name, async (job) => {
    heard.note('begun', job.data.n)
    const result = await fn(job)
    heard.note('done', job.data.n)
    return result
  }, { ...connect(where), concurrency: 10, drainDelay: 1 }))
  worker.on('active', (job) => { heard.note('active', job.data.n) })
  worker.on('completed', (job) => { heard.note('completed', job.data.n) })
  worker.on('failed', (job, error) => { heard.note('failed', job!.data.n, (error as { code?: string }).code ?? error.message) })
  closing.push(worker)
  return heard
}

/** Closes everything at once, because each one waits for its connection. */
const closing: Array<{ close (): Promise<unknown> }> = []

/** @param start starts the back end and returns its address */
export function testBoundJobs (t: Tap, start: (t: Tap) => Promise<Where>): void {
  t.test('fastify-ctx/bullmq', async (t) => {
    const where = await start(t)
    t.teardown(() => Promise.all(closing.map((each) => each.close())))
    const queueOf = ({ Queue }: typeof bound, name: string): bullmq.Queue<Data> => {
      const queue = new Queue<Data>(name, connect(where))
      closing.push(queue)
      return queue
    }
    const queue = queueOf(bound, 'bound')
    await queue.waitUntilReady()

    await t.test('jobs of many concurrent requests, run by one worker: each job and its listeners see their own request', async (t) => {
      const app = Fastify()
      await app.register(ctx.plugin)
      app.post<{ Params: { n: number } }>('/:n', async ({ params: { n } }) => { await queue.add('send', { n: Number(n) }) })
      app.post('/bulk', async () => { await queue.addBulk([100, 101].map((n) => ({ name: 'send', data: { n } }))) })
      const { url } = await listen(t, app)
      const heard = consume(bound, where, 'bound', async () => { await sleep(5) })
      const order = async (path: number | string, tenant: string): Promise<void> => { await fetch(`${url}/${path}`, { method: 'POST', headers: { 'x-tenant-id': tenant } }) }
      await Promise.all([...Array.from({ length: 40 }, (_, n) => order(n, `tenant ${n}`)), order('bulk', 'tenant bulk')])
      await heard.until(42, 'completed')
      for (const n of [...Array.from({ length: 40 }, (_, n) => n), 100, 101]) {
        const tenant = `tenant ${n < 100 ? n : 'bulk'}`
        t.same(heard.of(n), [['active', undefined], ['begun', tenant], ['done', tenant], ['completed', tenant]], `job ${n}`)
      }
    })

    await t.test('retries and delays: each attempt starts with the scope in which the job was added', async (t) => {
      const notes: Array<string | undefined> = []
      const heard = consume(bound, where, 'retried', async (job) => {
        notes.push(ctx.get('note'))
        ctx.set('note', `of attempt ${job.attemptsMade}`)
        if (job.attemptsMade < 2) throw new Error('try again')
      })
      await ctx.run({ tenant: 'acme', note: 'first' }, () => queueOf(bound, 'retried').add('send', { n: 1 }, { attempts: 3, delay: 100, backoff: { type: 'fixed', delay: 20 } }))
      await heard.until(1, 'completed')
      const failed = [['active', undefined], ['begun', 'acme'], ['failed', 'acme', 'try again']]
      // The listener may see a failure after the next attempt has begun.
      t.same(heard.of(1).sort(), [...failed, ...failed, ['active', undefined], ['begun', 'acme'], ['done', 'acme'], ['completed', 'acme']].sort())
      t.same(notes, ['first', 'first', 'first'])
    })

    await t.test('a job with a moved, changed or missing envelope fails at once without a retry, and its processor is not called', async (t) => {
      const heard = consume(bound, where, 'attacked', () => {})
      const victim = await ctx.run({ tenant: 'acme' }, () => queue.add('send', { n: 200 }))
      const { 'fastify-ctx': envelope } = victim.opts as { 'fastify-ctx': string }
      const plain = new bullmq.Queue<Data>('attacked', connect(where))
      closing.push(plain)
      for (const [n, given] of [envelope, envelope.replace('acme', 'evil'), 'garbage', { tenant: 'evil' }, undefined].entries()) {
        await plain.add('send', { n }, { attempts: 3, 'fastify-ctx': given } as never)
      }
      await heard.until(5, 'failed')
      await sleep(100)
      for (const n of [0, 1, 2, 3, 4]) t.same(heard.of(n), [['active', undefined], ['failed', undefined, 'FST_CTX_ENVELOPE_REFUSED']], `job ${n}`)
    })

    await t.test('jobs of a scheduler have no scope, even if a request created the scheduler, and other jobs run next to them', async (t) => {
      const queue = queueOf(open, 'scheduled')
      const heard = consume(open, where, 'scheduled', async () => { await sleep(10) })
      await ctx.run({ tenant: 'acme' }, () => queue.upsertJobScheduler('every', { every: 100 }, { name: 'tick', data: { n: 1 } }))
      for (let i = 0; i < 12; i++) await ctx.run({ tenant: 'globex' }, () => queue.add('send', { n: 2 }, { delay: i * 25 }))
      while (heard.of(1).length < 12) await sleep(20)
      await queue.removeJobScheduler('every')
      t.same([...new Set(heard.all.map(([what, n, tenant]) => `${n} ${what} ${tenant}`))].sort(), [
        '1 active undefined', '1 begun undefined', '1 completed undefined', '1 done undefined', '2 active undefined', '2 begun globex', '2 completed globex', '2 done globex'
      ])
    })

    await t.test('job.updateData: the next attempt is refused, unless signData is false', async (t) => {
      for (const [classes, name, last] of [[bound, 'steps', 'FST_CTX_ENVELOPE_REFUSED'], [open, 'open-steps', 'completed']] as const) {
        const heard = consume(classes, where, name, async (job) => {
          if (job.attemptsMade > 0) return
          await job.updateData({ n: 1, step: 2 })
          throw new Error('next step')
        })
        await ctx.run({ tenant: 'acme' }, () => queueOf(classes, name).add('send', { n: 1 }, { attempts: 2 }))
        while (!heard.of(1).flat().includes(last)) await sleep(20)
        t.same(heard.of(1).filter((line) => (line as string[])[0] === 'begun').length, last === 'completed' ? 2 : 1, name)
      }
    })

    await t.test('a job that replaces another by its deduplication id has its own scope', async (t) => {
      const queue = queueOf(bound, 'replaced')
      for (const [tenant, n] of [['acme', 1], ['globex', 2]] as const) {
        await ctx.run({ tenant }, () => queue.add('send', { n }, { delay: 200, deduplication: { id: 'same', ttl: 5000, replace: true } }))
      }
      const heard = consume(bound, where, 'replaced', () => {})
      await heard.until(1, 'completed')
      t.same(heard.all.filter(([what]) => what === 'begun'), [['begun', 2, 'globex']])
    })

    await t.test('a flow: the jobs of all its queues have its scope', async (t) => {
      const flows = new bound.FlowProducer(connect(where))
      closing.push(flows)
      const heard = ['parents', 'children'].map((name) => consume(bound, where, name, () => {}))
      await ctx.run({ tenant: 'acme' }, () => flows.add({ name: 'all', queueName: 'parents', data: { n: 1 }, children: [{ name: 'part', queueName: 'children', data: { n: 2 } }, { name: 'part', queueName: 'children', data: { n: 3 } }] }))
      await heard[0]!.until(1, 'completed')
      t.same(heard.flatMap(({ all }) => all.filter(([what]) => what === 'completed')).sort(), [['completed', 1, 'acme'], ['completed', 2, 'acme'], ['completed', 3, 'acme']])
    })

    await t.test('run() works in a listener of QueueEvents and in the file of a sandboxed processor', async (t) => {
      const queue = queueOf(bound, 'sandboxed')
      const events = new bullmq.QueueEvents('sandboxed', { ...connect(where), blockingTimeout: 200 })
      closing.push(events)
      await events.waitUntilReady()
      const { promise, open: heard } = gate<unknown[]>()
      // Once, because a later job may complete while the connections close.
      events.once('completed', async ({ jobId, returnvalue }) => {
        const job = await queue.getJob(jobId)
        heard([returnvalue, await run(job!, () => ctx.get('tenant'))])
      })
      const worker = new bound.Worker<Data>('sandboxed', fileURLToPath(new URL('sandboxed.mjs', import.meta.url)), {
        ...connect(where), useWorkerThreads: true, workerThreadsOptions: { env: { ...process.env, _TAPJS_PROCESSINFO_COVERAGE_: '0' }, execArgv: [] }
      })
      closing.push(worker)
      const again = setInterval(() => { ctx.run({ tenant: 'acme' }, () => queue.add('send', { n: 1 })).catch(() => {}) }, 1000)
      t.same(await promise, ['acme', 'acme'])
      clearInterval(again)
    })
  })
}
