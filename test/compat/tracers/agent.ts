// node agent.ts <agent> <bare|plugin>: an application under an agent that wraps Fastify when it is loaded. Prints what the application saw and what the agent
// recorded, as lines of JSON. An agent contacts no other machine.
import { createRequire } from 'node:module'
import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import { probe } from './probe.ts'

const require = createRequire(import.meta.url)
const [, , agent = '', variant = ''] = process.argv
const noticed: unknown[] = []

/** Starts each agent. The returned function is awaited at the end. */
const AGENTS: Readonly<Record<string, () => () => Promise<void>>> = {
  '@opentelemetry/instrumentation-fastify' () {
    const { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } = require('@opentelemetry/sdk-trace-node')
    const { FastifyInstrumentation } = require('@opentelemetry/instrumentation-fastify')
    const exporter = new InMemorySpanExporter()
    const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
    provider.register()
    new FastifyInstrumentation().setTracerProvider(provider)
    return async () => {
      for (const { name, attributes, status, events } of exporter.getFinishedSpans()) {
        noticed.push({ name, hook: attributes['hook.name'], route: attributes['http.route'], status, failures: events.map((event: any) => event.attributes['exception.message']) })
      }
    }
  },

  /** It prints its spans itself, as lines of JSON. */
  'dd-trace' () {
    const tracer = require('dd-trace').init({ startupLogs: false, plugins: false, flushInterval: 0, experimental: { exporter: 'log' } })
    tracer.use('fastify', true)
    tracer.use('http', { client: false })
    return async () => {}
  },

  newrelic () {
    const { agent } = require('newrelic')
    agent.on('transactionFinished', ({ name, exceptions, trace }: any) => {
      const segments: string[] = []
      const visit = (node: any): void => {
        if (!node.segment.name.includes('/fastifyCtx')) segments.push(node.segment.name)
        for (const child of node.children) visit(child)
      }
      visit(trace.segments.root)
      noticed.push({ name, failures: exceptions.map(({ error }: any) => error.message), segments: segments.sort() })
    })
    return async () => {}
  },

  /** It sends to the collector of the test. */
  'elastic-apm-node' () {
    const apm = require('elastic-apm-node').start({ serviceName: 'test', serverUrl: process.env.COLLECTOR, logLevel: 'off', centralConfig: false, metricsInterval: '0s', cloudProvider: 'none', apmServerVersion: '8.0.0' })
    return async () => { await apm.flush() }
  }
}

const finish = AGENTS[agent]!()
const Fastify = require('fastify') as (options: FastifyServerOptions) => FastifyInstance
const { createContext, key } = await import('../../../lib/index.ts')
const ctx = createContext({ tenant: key<string>({ seed: (request) => request.headers['x-tenant'] as string }) })
const seen = variant === 'bare'
  ? await probe(Fastify, async () => {}, 'instance')
  : await probe(Fastify, async (app) => { await app.register(ctx.plugin) }, 'instance', () => ctx.get('tenant'))
// Agents finish a request in later turns.
await new Promise((resolve) => { setTimeout(resolve, 100) })
await finish()
process.stdout.write(`\n${JSON.stringify({ seen, noticed })}\n`, () => { process.exit() })
