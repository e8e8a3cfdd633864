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
export function watchStream (payload: unknown, life: RequestLifetime): void {
  if (!isStream(payload) || watched.has(payload)) return
  watched.add(payload)
  if (emitsClose(payload)) life.holdStream(payload)
  emitWithin(payload, life, life.current, (event) => {
    // What can still be written to stays open after its end.
    if (event === 'close' || (event === 'end' && (payload as { readonly writable?: boolean }).writable === true)) life.closeStream(payload)
  })
}

function isStream (payload: unknown): payload is Readable {
  return typeof payload === 'object' && payload !== null && typeof (payload as { pipe?: unknown }).pipe === 'function' && typeof (payload as { emit?: unknown }).emit === 'function'
}

function emitsClose (stream: Readable & WithState): boolean {
  const { _readableState: state, destroyed } = stream
  return !destroyed && state?.emitClose === true && state.autoDestroy === true
}
