// node apm.ts <agent>: requests of two tenants under an agent that wraps Fastify when it is loaded. Prints the tenant label of each recorded request.
import { createRequire } from 'node:module'
import type { FastifyInstance, FastifyServerOptions } from 'fastify'

const require = createRequire(import.meta.url)

/** Starts each agent. The returned function is called with the application. Agents print or send what they record. */
const AGENTS: Readonly<Record<string, () => (app: FastifyInstance) => void>> = {
  /** It prints its spans as lines of JSON. */
  'dd-trace' () {
    const tracer = require('dd-trace').init({ startupLogs: false, plugins: false, logInjection: true, flushInterval: 0, experimental: { exporter: 'log' } })
    for (const name of ['fastify', 'pino']) tracer.use(name, true)
    tracer.use('http', { client: false })
    return (app) => {
      app.addHook('preHandler', async () => {
        tracer.scope().active()?.setTag('tenant', ctx.get('tenant'))
      })
    }
  },

  newrelic () {
    const newrelic = require('newrelic')
    newrelic.agent.on('transactionFinished', (transaction: any) => {
      console.log(JSON.stringify({ url: transaction.url, tenant: transaction.trace.custom.get(0xff).tenant }))
    })
    return (app) => {
      app.addHook('preHandler', async () => {
        newrelic.addCustomAttribute('tenant', ctx.get('tenant'))
      })
    }
  },

  /** It sends to the collector of the test. */
  'elastic-apm-node' () {
    const apm = require('elastic-apm-node').start({ serviceName: 'test', serverUrl: process.env.COLLECTOR, logLevel: 'off', centralConfig: false, metricsInterval: '0s', cloudProvider: 'none', apmServerVersion: '8.0.0', apiRequestTime: '1s' })
    return (app) => {
      app.addHook('preHandler', async () => {
        apm.setLabel('tenant', ctx.get('tenant'))
      })
      app.addHook('onClose', async () => { await apm.flush() })
    }
  }
}

const label = AGENTS[process.argv[2]!]!()
const Fastify = require('fastify') as (options: FastifyServerOptions) => FastifyInstance
const { ctx } = await import('./context.ts')

const app = Fastify({ logger: true })
await app.register(ctx.plugin)
label(app)
let arrived = 0
let open = (): void => {}
const both = new Promise<void>((resolve) => { open = resolve })
app.addHook('onRequest', async () => {
  if (++arrived === 2) open()
  await both
})
app.get('/:tenant', async () => {
  app.log.info('handled')
  return ctx.get('tenant')
})
const url = await app.listen({ port: 0, host: '127.0.0.1' })
await Promise.all(['acme', 'globex'].map(async (tenant) => await fetch(`${url}/${tenant}`, { headers: { 'x-tenant': tenant } })))
// Agents finish a request in later turns.
await new Promise((resolve) => { setTimeout(resolve, 100) })
await app.close()
process.stdout.write('', () => { process.exit() })
