import type { Readable } from 'node:stream'
import type { RequestLifetime } from '../lifecycle/request-lifetime.ts'
import { emitWithin } from './node-events.ts'

/** The state properties of a stream. Streams of the package readable-stream have them too, those of old libraries do not. */
interface WithState { readonly _readableState?: { readonly emitClose?: boolean, readonly autoDestroy?: boolean } }

const watched = new WeakSet<object>()

/**
 * Makes a stream that is sent emit where the request continues, for any source, and makes the end of the request wait until it
 * has closed: a file closes later than its response is complete. A stream that never emits 'close' is not waited for.
 */
export const sentStreams = {
  target: 'a stream that is sent',
  property: 'emit',
  reason: 'a stream emits where its source was opened, see https://nodejs.org/api/async_context.html#integrating-asyncresource-with-eventemitter',
  without: "listeners of a stream that is sent may run outside the scope, and the scope may end before the stream emits 'close'",

  available (payload: unknown): payload is Readable {
    return typeof payload === 'object' && payload !== null && typeof (payload as { pipe?: unknown }).pipe === 'function' && typeof (payload as { emit?: unknown }).emit === 'function'
  },

  /** @returns a function that reverts this, as the 'close' of the stream also does */
  install (stream: Readable, lifetime: RequestLifetime): () => void {
    if (emitsClose(stream)) lifetime.holdStream(stream)
    const revert = emitWithin(stream, lifetime, lifetime.current, (event) => {
      // A stream that is still writable stays open after its end.
      if (event === 'close' || (event === 'end' && (stream as { readonly writable?: boolean }).writable === true)) lifetime.closeStream(stream)
      if (event === 'close') revert()
    })
    return revert
  }
}

/** The same for a value that may be a stream, once. */
export function watchStream (payload: unknown, lifetime: RequestLifetime): void {
  if (!sentStreams.available(payload) || watched.has(payload)) return
  watched.add(payload)
  sentStreams.install(payload, lifetime)
}

function emitsClose (stream: Readable & WithState): boolean {
  const { _readableState: state, destroyed } = stream
  return !destroyed && state?.emitClose === true && state.autoDestroy === true
}
