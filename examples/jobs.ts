// The same calls where no server is: jobs, cron, scripts, tests. Each run is a scope with an id of its own, and a queue takes
// it along as a text. With a queue that is one: see examples/queue.
import { createContext, key } from 'fastify-ctx'
import { pino } from 'pino'

const ctx = createContext({ tenant: key<string>({ log: true, carry: true }), step: key<string>({ log: true }) })
const logger = pino({ mixin: ctx.mixin, base: null, timestamp: false })

/** Called by the job, and by whatever route will need it. */
async function bill (): Promise<string> {
  logger.info('billed')
  ctx.onEnd(() => { logger.info('connection released') })
  return `${ctx.require('tenant')} billed`
}

/** What plans the work need not be there any more when it is done. */
function plan (tenant: string): string {
  return ctx.run({ requestId: `nightly-${tenant}`, tenant }, () => ctx.dehydrate({ remaining: false }))
}

async function nightly (): Promise<string> {
  const billed = await ctx.run({ step: 'billing' }, bill)
  logger.info({ left: ctx.deadline! > 0 }, 'done')
  return billed
}

const queue = ['acme', 'globex'].map(plan)
console.log(await Promise.all(queue.map((envelope) => ctx.hydrate(envelope, () => ctx.run({}, nightly, { timeout: 60_000 })))))
console.log(ctx.explain('tenant').text)
console.log(ctx.run({ tenant: 'acme' }, () => ctx.explain('tenant').text))
