import { FST_CTX_UNKNOWN_KEY } from '../common/errors.ts'
import { tellingOf } from '../logging/fields.ts'
import { interceptFetch, interceptorOf, type Interceptor } from '../propagation/undici-interceptor.ts'
import { checkName, NO_KEYS, type Policy } from '../config/key-policies.ts'
import { DEFAULT_HEADER, idPattern } from '../config/request-id.ts'
import type { Registration } from '../scope/scope.ts'
import { readSettings, type Settings } from '../config/options.ts'

/** What makes a context one: its scopes are known by it, and two contexts never see each other's. */
export class Owner {
  /** The keys of `createContext`; `undefined` for the ready-made context, whose keys come with its registration. */
  readonly keys: Policy | undefined
  /** What adds the headers of this context's scopes to outgoing calls. */
  readonly interceptor: Interceptor = interceptorOf(this)
  #intercepts = false
  readonly #unregistered: Registration
  readonly #registrations: Registration[] = []

  constructor (keys?: Policy, settings: Settings = readSettings({}, keys ?? NO_KEYS)) {
    this.keys = keys
    this.#unregistered = {
      policy: keys ?? NO_KEYS, settings, log: undefined, idLabel: 'reqId', idHeader: DEFAULT_HEADER, idPattern: idPattern({}), pending: new Set(), written: tellingOf(settings.tracing)
    }
    this.#interceptFetch(settings)
  }

  /** That of the application it was registered in last; what a scope outside any request goes by. */
  get registration (): Registration {
    return this.#registrations.at(-1) ?? this.#unregistered
  }

  /** What `createContext` was told of envelopes, origins and traces. */
  get settings (): Settings {
    return this.#unregistered.settings
  }

  register (registration: Registration): void {
    this.#registrations.push(registration)
    this.#interceptFetch(registration.settings)
  }

  unregister (registration: Registration): void {
    this.#registrations.splice(this.#registrations.indexOf(registration), 1)
  }

  /** What Node's `fetch` goes through is composed with the interceptor once, when there is somewhere to take values to. */
  #interceptFetch ({ keysFor }: Settings): void {
    if (keysFor === undefined || this.#intercepts) return
    this.#intercepts = true
    interceptFetch(this.interceptor)
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
