import { channel } from 'node:diagnostics_channel'
import { outboundHeaders } from './headers.ts'
import { Redirects, type Call } from './redirects.ts'
import { scopeOfStore, type Scope, type Store } from '../scope/scope.ts'
import { bound, currentStore } from '../scope/storage.ts'
import { scopeOf } from '../scope/lookup.ts'
import { kOpenTelemetry } from '../common/symbols.ts'

/** How undici dispatches a request; its own types are those of the copy that the user has. */
export type Dispatch = (options: any, handler: any) => boolean

/** What `dispatcher.compose()` of undici takes. */
export type Interceptor = (dispatch: Dispatch) => Dispatch

interface Options { readonly origin?: string | URL, readonly path?: string, readonly headers?: unknown }

/** OpenTelemetry's instrumentation adds `traceparent` when undici tells of a request. */
const created = channel('undici:request:create')

/** Makes an interceptor that adds the headers of one context's scopes, for listed origins only. */
export function interceptorOf (definition: object): Interceptor {
  const redirects = new Redirects()

  return function fastifyCtxInterceptor (dispatch) {
    return function dispatchWithContext (options: Options, handler: object) {
      const store = currentStore()
      const scope = scopeOf(definition, scopeOfStore(store))
      const keysFor = scope?.registration.settings.keysFor
      if (scope === undefined || options.origin === undefined || keysFor === undefined) return dispatch(options, callingIn(store, handler))
      const call: Call = { store: store!, origin: options.origin, path: options.path ?? '/', handler }
      const isLed = redirects.includes(call)
      if (!isLed && keysFor(options.origin) !== undefined) return dispatch(withHeaders(options, options.origin, scope), callingIn(store, handler))
      return dispatch(options, callingIn(store, handler, watch(call, isLed)))
    }
  }

  function withHeaders (options: Options, origin: string | URL, scope: Scope): Options {
    const traced = created.hasSubscribers && kOpenTelemetry in globalThis
    const added = outboundHeaders(scope, origin, { traced })
    return Object.keys(added).length === 0 ? options : { ...options, headers: joined(options.headers, added) }
  }

  /** Sees where the answer to a call outside of the listed origins leads. undici 6 has other names for the callbacks than undici 7. */
  function watch (call: Call, isLed: boolean): Callbacks {
    const ended = isLed ? () => { redirects.ended(call) } : undefined
    return {
      onHeaders (status, headers) { redirects.answered(call, status as number, headers) },
      onResponseStart (_controller, status, headers) { redirects.answered(call, status as number, headers) },
      onComplete: ended,
      onResponseEnd: ended,
      onError: ended,
      onResponseError: ended
    }
  }
}

/** What is called before a callback of the same name. */
type Callbacks = Readonly<Record<string, ((...args: unknown[]) => void) | undefined>>

const NO_CALLBACKS: Callbacks = {}

/**
 * A handler whose callbacks run in a store. undici calls them in whatever scope its connection was opened in; and some of
 * them dispatch again, to follow a redirect or to try once more, which is to be the same scope's call.
 */
function callingIn (store: Store | undefined, handler: object, before = NO_CALLBACKS): object {
  // Not of the handler itself: one that is frozen must give its own functions.
  return new Proxy(Object.create(handler) as object, {
    get (target, name) {
      const value: unknown = Reflect.get(target, name, handler)
      if (typeof value !== 'function') return value
      const call = value.bind(handler) as (...args: unknown[]) => unknown
      const first = typeof name === 'string' && Object.hasOwn(before, name) ? before[name] : undefined
      if (first === undefined) return bound(store, call)
      return bound(store, (...args: unknown[]) => {
        first(...args)
        return call(...args)
      })
    }
  })
}

/** They go as a pair: the state of one trace is none of another's. */
const TRACE: ReadonlySet<string> = new Set(['traceparent', 'tracestate'])

/**
 * The headers of a call, in any form that undici takes, and ours where the caller has not set them himself. What is an
 * object stays one: not all of its interceptors take names and values in turn.
 */
function joined (headers: unknown, added: Record<string, string>): object {
  const listed = typeof headers === 'object' && headers !== null && Symbol.iterator in headers
  const entries = listed ? [...headers as Iterable<unknown>] : Object.entries(headers ?? {}).filter(([, value]) => value !== undefined)
  const turns = Array.isArray(headers) ? headers : entries.flat()
  const given = new Set(turns.filter((_, i) => i % 2 === 0).map((name) => String(name).toLowerCase()))
  const givesTrace = given.has('traceparent') || given.has('tracestate')
  const missing = Object.entries(added).filter(([name]) => !given.has(name) && !(TRACE.has(name) && givesTrace))
  return listed ? [...turns, ...missing.flat()] : { ...headers as object, ...Object.fromEntries(missing) }
}
