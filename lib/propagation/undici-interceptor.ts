import { channel } from 'node:diagnostics_channel'
import { outboundHeaders } from './headers.ts'
import { Redirects, type Call } from './redirects.ts'
import { scopeOfStore, type Scope, type Store } from '../scope/scope.ts'
import { bound, currentStore } from '../scope/storage.ts'
import { scopeOf } from '../scope/lookup.ts'
import { kOpenTelemetry } from '../common/symbols.ts'

/** undici's dispatch function. Its own types belong to the user's copy. */
export type Dispatch = (options: any, handler: any) => boolean

/** The argument of undici's `dispatcher.compose()`. */
export type Interceptor = (dispatch: Dispatch) => Dispatch

interface Options { readonly origin?: string | URL, readonly path?: string, readonly headers?: unknown }

/** The channel on which OpenTelemetry's instrumentation adds `traceparent`. */
const created = channel('undici:request:create')

/** Creates an interceptor that adds the headers of one context's scopes, only for listed origins. */
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

  /** Records where the response of an unlisted origin leads. undici 6 and 7 have different names for the callbacks. */
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

/** Functions that run before a callback of the same name. */
type Callbacks = Readonly<Record<string, ((...args: unknown[]) => void) | undefined>>

const NO_CALLBACKS: Callbacks = {}

/**
 * A handler whose callbacks run in a store. undici calls them in the scope in which its connection was opened. Some of
 * them dispatch again, for a redirect or a retry, which must belong to the scope of the same call.
 */
function callingIn (store: Store | undefined, handler: object, before = NO_CALLBACKS): object {
  // No proxy of the handler itself, because a proxy of a frozen object must return its own functions.
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

/** Both or neither: the state belongs to one trace. */
const TRACE: ReadonlySet<string> = new Set(['traceparent', 'tracestate'])

/**
 * The headers of a call in any format of undici, with ours unless the caller has set them. An object stays an object,
 * because not all of undici's interceptors accept pairs.
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
