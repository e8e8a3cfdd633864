import type { Readable } from 'node:stream'
import type { RequestLifetime } from '../lifecycle/request-lifetime.ts'
import { emitWithin } from './node-events.ts'

/** What is read of a stream's state: streams of the package readable-stream have it, too, streams of old libraries do not. */
interface WithState { readonly _readableState?: { readonly emitClose?: boolean, readonly autoDestroy?: boolean } }

const watched = new WeakSet<object>()

/**
 * Makes a stream that is sent emit where the request goes on, whoever feeds it, and the end of the request wait until it
 * has closed: a file closes later than its answer is complete. One that will not emit 'close' is not waited for.
 */
export const sentStreams = {
  target: 'a stream that is sent',
  property: 'emit',
  reason: 'a stream emits where its source was opened, see https://nodejs.org/api/async_context.html#integrating-asyncresource-with-eventemitter',
  without: "listeners of a stream that is sent may run outside the scope, and the scope may end before the stream emits 'close'",

  available (payload: unknown): payload is Readable {
    return typeof payload === 'object' && payload !== null && typeof (payload as { pipe?: unknown }).pipe === 'function' && typeof (payload as { emit?: unknown }).emit === 'function'
  },

  /** @returns what reverts it, which the 'close' of the stream does, too */
  install (stream: Readable, lifetime: RequestLifetime): () => void {
    if (emitsClose(stream)) lifetime.holdStream(stream)
    const revert = emitWithin(stream, lifetime, lifetime.current, (event) => {
      // What can still be written to stays open after its end.
      if (event === 'close' || (event === 'end' && (stream as { readonly writable?: boolean }).writable === true)) lifetime.closeStream(stream)
      if (event === 'close') revert()
    })
    return revert
  }
}

/** The same for what may be a stream, once. */
export function watchStream (payload: unknown, lifetime: RequestLifetime): void {
  if (!sentStreams.available(payload) || watched.has(payload)) return
  watched.add(payload)
  sentStreams.install(payload, lifetime)
}

function emitsClose (stream: Readable & WithState): boolean {
  const { _readableState: state, destroyed } = stream
  return !destroyed && state?.emitClose === true && state.autoDestroy === true
}
