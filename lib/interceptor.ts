import { channel } from 'node:diagnostics_channel'
import { outboundHeaders } from './outbound.ts'
import { scopeOf, scopeOfStore, type Store } from './scope.ts'
import { currentStore } from './storage.ts'

/** How undici dispatches a request; its own types are those of the copy that the user has. */
export type Dispatch = (options: any, handler: any) => boolean

/** What `dispatcher.compose()` of undici takes. */
export type Interceptor = (dispatch: Dispatch) => Dispatch

interface Options { readonly origin?: string | URL, readonly headers?: unknown }

/** Who dispatches the same request again, from code of its own: to follow a redirect, or to try once more. */
const AGAIN: ReadonlySet<string> = new Set(['RedirectHandler', 'RetryHandler'])

/** OpenTelemetry's instrumentation, like others, adds `traceparent` when undici tells of a request. */
const created = channel('undici:request:create')

/** Makes an interceptor that adds the headers of one context's scopes, for listed origins only. */
export function interceptorOf (owner: object): Interceptor {
  /** In which store each request began: what dispatches it again does so in the scope of any request. */
  const begun = new WeakMap<object, { readonly store: Store | undefined }>()
  return function fastifyCtxInterceptor (dispatch) {
    return function dispatchWithContext (options: Options, handler: object) {
      return dispatch(withHeaders(options, storeOf(handler)), handler)
    }
  }

  function storeOf (handler: object): Store | undefined {
    const store = currentStore()
    const before = begun.get(handler)
    if (before === undefined) begun.set(handler, { store })
    else if (AGAIN.has(handler.constructor.name)) return before.store
    // One handler for several requests: whose this is cannot be told, unless it is the same scope's.
    else if (before.store !== store) return undefined
    return store
  }

  function withHeaders (options: Options, store: Store | undefined): Options {
    const scope = scopeOf(owner, scopeOfStore(store))
    if (scope === undefined || options.origin === undefined) return options
    const traced = scope.registration.settings.tracing !== undefined && created.hasSubscribers
    const added = Object.entries(outboundHeaders(scope, options.origin, { traced }))
    if (added.length === 0) return options
    const headers = flat(options.headers)
    const given = new Set(headers.filter((_, i) => i % 2 === 0).map((name) => String(name).toLowerCase()))
    // What the caller says himself stands.
    return { ...options, headers: [...headers, ...added.filter(([name]) => !given.has(name)).flat()] }
  }
}

/** Headers in any form that undici takes, as names and values in turn. */
function flat (headers: unknown): unknown[] {
  if (headers === undefined || headers === null) return []
  if (Array.isArray(headers)) return headers
  const entries = Symbol.iterator in (headers as object) ? headers as Iterable<[string, unknown]> : Object.entries(headers as object) as Array<[string, unknown]>
  return [...entries].flatMap(([name, value]) => Array.isArray(value) ? value.flatMap((one: unknown) => [name, one]) : value === undefined ? [] : [name, value])
}

/** Where Node and undici keep the dispatcher that `fetch` goes through. */
const GLOBAL_DISPATCHERS = ['undici.globalDispatcher.1', 'undici.globalDispatcher.2'].map((name) => Symbol.for(name))

interface Composable { compose?: (interceptor: Interceptor) => object }

/** Composes the dispatchers that `fetch` and undici use by default with an interceptor. */
export function interceptFetch (interceptor: Interceptor): void {
  // Node sets them when something of fetch is first touched.
  Reflect.get(globalThis, 'Response')
  const holder = globalThis as unknown as Record<symbol, Composable | undefined>
  for (const symbol of GLOBAL_DISPATCHERS) {
    const dispatcher = holder[symbol]
    if (typeof dispatcher?.compose === 'function') holder[symbol] = dispatcher.compose(interceptor) as Composable
  }
}
