// The same calls where no server is: jobs, cron, scripts, tests. Each run is a scope with an id of its own.
import { createContext, key } from 'fastify-ctx'
import { pino } from 'pino'

const ctx = createContext({ tenant: key<string>({ log: true }), step: key<string>({ log: true }) })
const logger = pino({ mixin: ctx.mixin, base: null, timestamp: false })

/** Called by the job, and by whatever route will need it. */
async function bill (): Promise<string> {
  logger.info('billed')
  ctx.onEnd(() => { logger.info('connection released') })
  return `${ctx.require('tenant')} billed`
}

async function nightly (tenant: string): Promise<string> {
  return ctx.run({ requestId: `nightly-${tenant}`, tenant }, async () => {
    const billed = await ctx.run({ step: 'billing' }, bill)
    logger.info({ left: ctx.deadline! > 0 }, 'done')
    return billed
  }, { timeout: 60_000 })
}

console.log(await Promise.all(['acme', 'globex'].map(nightly)))
console.log(ctx.explain('tenant').text)
console.log(ctx.run({ tenant: 'acme' }, () => ctx.explain('tenant').text))
