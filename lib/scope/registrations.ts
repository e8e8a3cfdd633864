import type { Registration } from './scope.ts'

type WriteListener = NonNullable<Registration['onWrite']>

/** By the server of an application. Instances of Fastify that were encapsulated have the same server. */
const registrations = new WeakMap<object, Set<Registration>>()

/** The registrations of all contexts in one application, in all of its instances. */
export function registrationsOf (server: object): Set<Registration> {
  let ofServer = registrations.get(server)
  if (ofServer === undefined) registrations.set(server, ofServer = new Set())
  return ofServer
}

interface Listened {
  readonly listeners: Set<WriteListener>
  readonly restore: () => void
}

const listened = new WeakMap<Registration, Listened>()

/**
 * Calls a listener after each write in the scopes of a registration, besides what `onWrite` did before. Several may listen.
 * `onWrite` is restored when the last has stopped, in any order.
 *
 * @returns a function that stops it
 */
export function listenToWrites (registration: Registration, listener: WriteListener): () => void {
  const { listeners, restore } = listened.get(registration) ?? install(registration)
  listeners.add(listener)
  return () => {
    if (!listeners.delete(listener) || listeners.size > 0) return
    listened.delete(registration)
    restore()
  }
}

function install (registration: Registration): Listened {
  const { onWrite } = registration
  const listeners = new Set<WriteListener>()
  registration.onWrite = (scope, name) => {
    onWrite?.(scope, name)
    for (const listener of listeners) listener(scope, name)
  }
  const installed = { listeners, restore: () => { registration.onWrite = onWrite } }
  listened.set(registration, installed)
  return installed
}
