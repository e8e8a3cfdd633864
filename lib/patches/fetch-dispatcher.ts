import type { Interceptor } from '../propagation/undici-interceptor.ts'
import { GLOBAL_DISPATCHERS } from '../common/symbols.ts'

interface Composable { compose (interceptor: Interceptor): object }

/** The interceptors of all contexts that send headers. They share one dispatcher, so they can be removed in any order. */
const interceptors = new Set<Interceptor>()

/** The replaced dispatchers, and their replacements. */
let replaced: ReadonlyArray<{ readonly symbol: symbol, readonly before: Composable, readonly ours: object }> = []

/** Each composed dispatcher. Only the last one adds headers. One that another tool has composed further stays. */
let current: object = {}

/** The global dispatcher of undici and of Node's `fetch`. */
export const fetchDispatcher = {
  target: 'globalThis',
  property: "Symbol.for('undici.globalDispatcher.1')",
  reason: 'fetch takes no interceptor; undici documents compose() and setGlobalDispatcher() for this, see https://github.com/nodejs/undici/blob/main/docs/docs/api/Dispatcher.md',
  without: 'fetch and undici send no headers of the scope; propagate has no effect',

  /** Whether there is a dispatcher that can be composed. */
  available (): boolean {
    return dispatchers().length > 0
  },

  /** Makes `fetch` use an interceptor. The returned function removes it, and restores the dispatcher if it was the last one. */
  install (interceptor: Interceptor): () => void {
    interceptors.add(interceptor)
    if (!isInstalled()) compose()
    return () => {
      if (interceptors.delete(interceptor) && interceptors.size === 0) restore()
    }
  }
}

function compose (): void {
  const version = current = {}
  replaced = dispatchers().map(({ symbol, dispatcher }) => ({ symbol, before: dispatcher, ours: dispatcher.compose(interceptAll) }))
  for (const { symbol, ours } of replaced) holder[symbol] = ours

  function interceptAll (dispatch: ReturnType<Interceptor>): ReturnType<Interceptor> {
    return (options, handler) => {
      if (version !== current) return dispatch(options, handler)
      let intercepted = dispatch
      for (const interceptor of interceptors) intercepted = interceptor(intercepted)
      return intercepted(options, handler)
    }
  }
}

/** A dispatcher that another tool has replaced or composed since is theirs. Ours inside it adds nothing anymore. */
function restore (): void {
  for (const { symbol, before, ours } of replaced) if (holder[symbol] === ours) holder[symbol] = before
  replaced = []
}

function isInstalled (): boolean {
  return replaced.length > 0 && replaced.every(({ symbol, ours }) => holder[symbol] === ours)
}

const holder = globalThis as unknown as Record<symbol, unknown>

function dispatchers (): Array<{ readonly symbol: symbol, readonly dispatcher: Composable }> {
  // Node sets them on the first access to fetch.
  Reflect.get(globalThis, 'Response')
  return GLOBAL_DISPATCHERS.map((symbol) => ({ symbol, dispatcher: holder[symbol] as Composable })).filter(({ dispatcher }) => typeof dispatcher?.compose === 'function')
}
