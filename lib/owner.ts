import { FST_CTX_UNKNOWN_KEY } from './errors.ts'
import { checkName, type Policy } from './key.ts'
import type { Registration } from './scope.ts'

const NO_KEYS: Policy = { names: new Set(), seeds: [], locked: new Set(), missing: new Map(), logged: [] }

/** What makes a context one: its scopes are known by it, and two contexts never see each other's. */
export class Owner {
  /** The keys of `createContext`; `undefined` for the ready-made context, whose keys come with its registration. */
  readonly keys: Policy | undefined
  readonly #unregistered: Registration
  readonly #registrations: Registration[] = []

  constructor (keys?: Policy) {
    this.keys = keys
    this.#unregistered = { policy: keys ?? NO_KEYS, log: undefined, idLabel: 'reqId', pending: new Set() }
  }

  /** That of the application it was registered in last; what a scope outside any request goes by. */
  get registration (): Registration {
    return this.#registrations.at(-1) ?? this.#unregistered
  }

  register (registration: Registration): void {
    this.#registrations.push(registration)
  }

  unregister (registration: Registration): void {
    this.#registrations.splice(this.#registrations.indexOf(registration), 1)
  }

  /**
   * Refuses a name that is no key here. The ready-made context takes any that could be one: the types know which are.
   *
   * @throws FST_CTX_UNKNOWN_KEY
   * @throws FST_CTX_INVALID_KEY
   */
  checkKey (name: string): void {
    if (this.registration.policy.names.has(name)) return
    if (this.keys !== undefined) throw new FST_CTX_UNKNOWN_KEY(name)
    checkName(name)
  }
}
