import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { SpanContext } from '@opentelemetry/api'
import { BatchSpanProcessor, InMemorySpanExporter, NodeTracerProvider, type SpanProcessor } from '@opentelemetry/sdk-trace-node'
import { Agent, Client, interceptors, Pool, setGlobalDispatcher, type Dispatcher } from 'undici'
import context, { createContext, ctx, key, type CreateOptions, type Interceptor, type LateOptions, type Propagate, type Trace, type Tracing } from '../lib/index.ts'
import { otel, type OtelOptions, type OtelTracing } from '../lib/otel.ts'
import { expectEqual, expectType } from './expect.ts'

declare const request: FastifyRequest
declare const app: FastifyInstance
const own = createContext({ tenant: key<string>({ header: 'x-tenant' }) })

export function interceptorFitsWhatUndiciComposes () {
  expectType<Interceptor>().of(own.interceptor)
  expectType<Interceptor>().of(request.ctx.interceptor)
  const interceptor: Dispatcher.DispatcherComposeInterceptor = ctx.interceptor
  const composed: Dispatcher = new Agent().compose(ctx.interceptor, interceptors.redirect(), interceptors.retry())
  setGlobalDispatcher(new Pool('https://api.example').compose(interceptor))
  return [composed, new Client('https://api.example').compose([own.interceptor, ctx.interceptor])]
}

export function headersForGivesHeaders () {
  expectType<Record<string, string>>().of(ctx.headersFor('https://api.example'))
  expectType<Record<string, string>>().of(request.ctx.headersFor(new URL('https://api.example')))

  // Not a URL.
  // @ts-expect-error
  ctx.headersFor()

  // A request.
  // @ts-expect-error
  ctx.headersFor({ origin: 'https://api.example' })
}

export function propagateTakesListsOfKeysByOrigin () {
  const propagate: Propagate = { 'https://*.example': ['requestId', 'tenant'] }
  createContext({ tenant: key<string>({ header: 'x-tenant' }) }, { propagate })
  app.register(context, { keys: { tenant: { header: 'x-tenant' } }, propagate, trace: false })
  createContext({}, { propagate: { 'https://api.example': ['requestId'] } as const })

  // One key, not a list.
  // @ts-expect-error
  createContext({ tenant: key<string>({ header: 'x-tenant' }) }, { propagate: { 'https://api.example': 'tenant' } })

  // A list of origins.
  // @ts-expect-error
  createContext({}, { propagate: [['https://api.example']] })

  // Not for an application alone.
  // @ts-expect-error
  app.register(own.plugin, { keys: {} })
}

export function someOptionsMayComeLate () {
  const late = createContext({ tenant: key<string>() }, { envelope: 'late', propagate: 'late' })
  const options = { envelope: { secrets: ['s'] }, propagate: {}, trace: false, diagnostics: true }
  app.register(late.plugin, options)
  app.register(context, options)
  expectType<void>().of(late.configure(options))
  expectType<void>().of(ctx.configure({ ...options, keys: { tenant: { carry: true } } }))
  expectType<(options: LateOptions) => void>().of(late.configure)

  // What a scope reads from the start cannot come late.
  // @ts-expect-error
  createContext({}, { trace: 'late' })

  // It is late already.
  // @ts-expect-error
  late.configure({ envelope: 'late' })
  // @ts-expect-error
  app.register(late.plugin, { propagate: 'late' })

  // The keys of a context of your own come first: its types are inferred from them.
  // @ts-expect-error
  late.configure({ keys: {} })

  // Requests have no say in it.
  // @ts-expect-error
  request.ctx.configure({})
}

export function traceIsWhereASpanContextIs () {
  expectType<Trace | undefined>().of(ctx.trace)
  expectType<Trace | undefined>().of(request.ctx.trace)
  expectEqual<SpanContext extends Trace ? true : false, true>(true)

  // A read-only property.
  // @ts-expect-error
  ctx.trace = undefined
}

export function otelFitsTheOptionAndTheProvider () {
  const tracing = otel({ attributes: { tenant: 'app.tenant' } })
  expectType<OtelTracing>().of(tracing)
  expectEqual<OtelTracing extends SpanProcessor ? true : false, true>(true)
  expectEqual<OtelTracing extends Tracing ? true : false, true>(true)
  createContext({ tenant: key<string>({ log: true }) }, { trace: tracing })
  app.register(context, { keys: { tenant: { log: true } }, trace: otel() })
  expectType<boolean | Tracing | undefined>().of(({} as CreateOptions).trace)
  const options: OtelOptions = {}
  otel(options)

  // Attributes are an object of names by key.
  // @ts-expect-error
  otel({ attributes: ['tenant'] })

  // Not a tracer.
  // @ts-expect-error
  createContext({}, { trace: 'otel' })

  // A processor of another library.
  // @ts-expect-error
  createContext({}, { trace: new BatchSpanProcessor(new InMemorySpanExporter()) })

  return new NodeTracerProvider({ spanProcessors: [tracing, new BatchSpanProcessor(new InMemorySpanExporter())] })
}
