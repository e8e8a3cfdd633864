import * as bullmq from 'bullmq'
import t from 'tap'
import { bindBullMQ } from '../../lib/bullmq.ts'
import { createContext, key } from '../../lib/index.ts'

const ctx = createContext({ tenant: key<string>({ carry: true }) })

class Queue {
  readonly name = 'mails'
  add (name: string, data: unknown, opts: object): object { return { queueName: this.name, name, data, opts } }
  addBulk (): void {}
}

t.test('bindBullMQ extends only the classes that it is given', async (t) => {
  t.same(Object.keys(bindBullMQ(ctx, { Queue })), ['Queue', 'run'])
  t.same(Object.keys(bindBullMQ(ctx, { Worker: Queue, FlowProducer: Queue })), ['Worker', 'FlowProducer', 'run'])
  const bound = bindBullMQ(ctx, bullmq)
  t.same(Object.keys(bound), ['Queue', 'Worker', 'FlowProducer', 'run'])
  for (const name of ['Queue', 'Worker', 'FlowProducer'] as const) t.ok(bound[name].prototype instanceof bullmq[name], name)
})

t.test('run() calls a function in the scope of a job', async (t) => {
  const { Queue: Bound, run } = bindBullMQ(ctx, { Queue })
  const job = await ctx.run({ tenant: 'acme' }, () => new Bound().add('send', {}, {}))
  t.equal(await run(job as never, () => ctx.get('tenant')), 'acme')
})

t.test('bindBullMQ refuses invalid arguments', async (t) => {
  for (const none of [undefined, {}]) t.throws(() => bindBullMQ(none as never, { Queue }), { code: 'FST_CTX_INVALID_ARGUMENT', message: /bindBullMQ takes a context first/ })
  t.throws(() => bindBullMQ(ctx, {}), { code: 'FST_CTX_INVALID_ARGUMENT', message: /bindBullMQ takes the classes of BullMQ second/ })
  t.throws(() => bindBullMQ(ctx, { Queue }, { missing: 'skip' as never }), { code: 'FST_CTX_INVALID_OPTION' })
})
