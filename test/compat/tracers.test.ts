// Tracers, and plugins like them, wrap the hooks and handlers of others. Compared with bare Fastify, the functions that they wrap are called as often, with the
// same arguments and names, and no tenant reads the value of another.
import { FastifyOtelInstrumentation } from '@fastify/otel'
import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor, type ReadableSpan } from '@opentelemetry/sdk-trace-node'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import t, { type Test } from 'tap'
import { createContext, key } from '../../lib/index.ts'
import { under } from './tracers/spawn.ts'
import { crossings, probe, TENANTS, type Install, type Read, type Seen } from './tracers/probe.ts'

type Hook = (...args: any[]) => unknown

/** What an application and the tracer around it saw. */
type Noticed = Seen & { readonly noticed: unknown }

/** A tool that wraps hooks in one application, and what it had recorded at the end. */
interface Wrapper {
  readonly install: Install
  readonly noticed: () => unknown
}

const KINDS = ['onRequest', 'preParsing', 'preValidation', 'preHandler', 'preSerialization', 'onSend', 'onResponse', 'onError', 'onTimeout', 'onRequestAbort']

/** Wraps as tracers do, with rest arguments: the wrapper has no name and no parameters. */
function counting (counts: Record<string, number>, kind: string, fn: Hook): Hook {
  const count = (what: string): void => { counts[what] = (counts[what] ?? 0) + 1 }
  return function (this: unknown, ...args: unknown[]) {
    count(`${kind} of ${args.length}`)
    const done = args.at(-1)
    if (typeof done === 'function') {
      args[args.length - 1] = function (this: unknown, ...results: unknown[]) {
        count(`${kind}: done of ${results.length}${results[0] instanceof Error ? ', failed' : ''}`)
        return done.apply(this, results)
      }
    }
    return fn.apply(this, args)
  }
}

/** The same for hooks of any kind. The plugin's own hooks are wrapped too. They are not counted and keep their names, so that they can be removed from the output. */
function wrapHook (counts: Record<string, number>, kind: string, fn: Hook): Hook {
  if (!fn.name.startsWith('fastifyCtx')) return counting(counts, kind, fn)
  return Object.defineProperty(counting({}, kind, fn), 'name', { value: fn.name })
}

function wrapsAddHook (): Wrapper {
  const counts: Record<string, number> = {}
  return {
    install: async (app) => {
      const { addHook } = app
      app.addHook = function (this: FastifyInstance, kind: string, fn: Hook) {
        return addHook.call(this, kind as 'onRequest', (KINDS.includes(kind) ? wrapHook(counts, kind, fn) : fn) as never)
      } as never
    },
    noticed: () => counts
  }
}

function wrapsOnRoute (): Wrapper {
  const counts: Record<string, number> = {}
  return {
    install: async (app) => {
      app.addHook('onRoute', (route) => {
        const options = route as unknown as Record<string, Hook | Hook[] | undefined>
        for (const kind of [...KINDS, 'handler']) {
          const given = options[kind]
          if (Array.isArray(given)) options[kind] = given.map((fn) => wrapHook(counts, kind, fn))
          else if (given !== undefined) options[kind] = wrapHook(counts, kind, given)
        }
      })
    },
    noticed: () => counts
  }
}

function fastifyOtel (): Wrapper {
  const exporter = new InMemorySpanExporter()
  const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
  return {
    install: async (app) => {
      const instrumentation = new FastifyOtelInstrumentation()
      instrumentation.setTracerProvider(provider)
      await app.register(instrumentation.plugin())
    },
    noticed: () => exporter.getFinishedSpans().filter(({ attributes }) => !String(attributes['hook.callback.name']).startsWith('fastifyCtx')).map(spanText)
  }
}

/**
 * The parts that must be equal. The name of a plugin is part of the names of plugins registered after it, and a tracer's
 * wrapper of our hook is printed with the name of the wrapper.
 */
function comparable ({ reads: _, names, noticed, ...seen }: Noticed): object {
  const printed = names.printed!.map((line) => line.replaceAll(/("(?:handlerWrapped|anonymous)\(\)",?)+/g, 'wrapped'))
  return { ...seen, names: { ...names, printed }, noticed: Array.isArray(noticed) ? noticed.sort() : noticed }
}

function spanText ({ name, attributes, status, events }: ReadableSpan): string {
  const { 'hook.name': hook, 'url.path': _, ...others } = attributes
  const failures = events.map(({ name, attributes }) => `${name} ${attributes?.['exception.message']}`)
  return JSON.stringify({ name, hook: String(hook).replace(' -> fastify-ctx', ''), ...others, ...status, failures })
}

const WRAPPERS: ReadonlyArray<readonly [name: string, at: 'instance' | 'route', make: () => Wrapper]> = [
  ['a wrapper of addHook', 'instance', wrapsAddHook],
  ['an onRoute hook that wraps', 'route', wrapsOnRoute],
  ['@fastify/otel', 'instance', fastifyOtel],
  ['@fastify/otel', 'route', fastifyOtel]
]

async function look (wrapper: Wrapper, at: 'instance' | 'route', plugin?: Install, order: 'before' | 'after' = 'before', read?: Read): Promise<Noticed> {
  const seen = await probe((options: FastifyServerOptions) => Fastify(options) as FastifyInstance, async (app) => {
    if (order === 'after') await plugin?.(app)
    await wrapper.install(app)
    if (order === 'before') await plugin?.(app)
  }, at, read)
  return { ...seen, noticed: wrapper.noticed() }
}

for (const [name, at, wrap] of WRAPPERS) {
  t.test(`${name}, hooks of the ${at}: arguments, names, responses and observations equal those with bare Fastify, and each tenant reads its own`, async (t) => {
    const [bare, before, after] = await Promise.all([look(wrap(), at), ...(['before', 'after'] as const).map(async (order) => {
      const ctx = createContext({ tenant: key<string>({ seed: (request) => request.headers['x-tenant'] as string }) })
      return await look(wrap(), at, async (app) => { await app.register(ctx.plugin) }, order, () => ctx.get('tenant'))
    })])
    check(t, before!, bare, 'registered before the plugin')
    check(t, after!, bare, 'registered after the plugin')
  })
}

// They wrap Fastify when it is loaded, so they come before every plugin.
for (const agent of ['@opentelemetry/instrumentation-fastify', 'dd-trace', 'newrelic', 'elastic-apm-node']) {
  t.test(`${agent}: arguments, names, responses, spans and errors equal those with bare Fastify, and each tenant reads its own`, async (t) => {
    const [bare, plugin] = await Promise.all([under(agent, 'bare'), under(agent, 'plugin')])
    check(t, plugin, bare, 'with the plugin')
  })
}

function check (t: Test, seen: Noticed, bare: Noticed, title: string): void {
  t.strictSame(comparable(seen), comparable(bare), title)
  t.ok(Object.keys(bare.noticed as object).length >= 10, 'it recorded what it wraps')
  t.match(JSON.stringify(bare.noticed), /fail/, 'and failures')
  t.same(crossings(seen), [], `${title}: no value is missing or another tenant's`)
  t.ok(Object.keys(seen.reads).length > 50, 'the application read everywhere')
  t.same(Object.entries(seen.reads).filter(([, pairs]) => pairs.length < TENANTS.length).map(([place]) => place), [], 'with both tenants')
}
