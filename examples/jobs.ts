// The same calls without a server: jobs, cron, scripts, tests. Each run is a scope with its own id, and a queue carries it as text. examples/queue uses a real
// queue.
import { createContext, key } from 'fastify-ctx'
import { pino } from 'pino'

const ctx = createContext({ tenant: key<string>({ log: true, carry: true }), step: key<string>({ log: true }) })
const logger = pino({ mixin: ctx.mixin, base: null, timestamp: false })

/** Called by the job, and by any route that needs it. */
async function bill (): Promise<string> {
  logger.info('billed')
  ctx.onEnd(() => { logger.info('connection released') })
  return `${ctx.require('tenant')} billed`
}

/** The code that plans the work may be gone when the work runs. */
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
// Every value, also one that log lines leave out: for a person at a terminal.
console.log(ctx.run({ requestId: 'nightly-acme', tenant: 'acme' }, () => ctx.entries().map(([name, value]) => `${name}=${value}`).join(' ')))
