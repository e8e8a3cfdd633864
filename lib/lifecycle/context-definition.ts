import { FST_CTX_UNKNOWN_KEY } from '../common/errors.ts'
import { attributeWriter } from '../logging/fields.ts'
import { interceptorOf, type Interceptor } from '../propagation/undici-interceptor.ts'
import { checkName, NO_KEYS, type Policy } from '../config/key-policies.ts'
import { DEFAULT_HEADER, idPattern } from '../config/request-id.ts'
import type { Registration } from '../scope/scope.ts'
import { readSettings, type Settings } from '../config/options.ts'
import { strictestOf } from './strictest.ts'

/** Makes `fetch` go through an interceptor, until what it returns is called. */
export type ComposeFetch = (interceptor: Interceptor) => () => void

/** Identity of a context. Every scope points to its definition, and two contexts never see each other's scopes. */
export class ContextDefinition {
  /** The keys of `createContext`; `undefined` for the ready-made context, whose keys come with its registration. */
  readonly keys: Policy | undefined
  /** The options of `createContext` for envelopes, origins and traces. */
  readonly settings: Settings
  /** Adds the headers of this context's scopes to outgoing calls. */
  readonly interceptor: Interceptor = interceptorOf(this)
  readonly #composeFetch: ComposeFetch | undefined
  #restoreFetch: (() => void) | undefined
  #outside: Registration
  readonly #registrations: Registration[] = []

  constructor (keys?: Policy, settings: Settings = readSettings({}, keys ?? NO_KEYS), composeFetch?: ComposeFetch) {
    this.keys = keys
    this.settings = settings
    this.#composeFetch = composeFetch
    this.#outside = {
      policy: keys ?? NO_KEYS, settings, log: undefined, idLabel: 'reqId', idHeader: DEFAULT_HEADER, idPattern: idPattern({}), pending: new Set(), onWrite: attributeWriter(settings.tracing)
    }
  }

  /**
   * What a scope outside any request goes by: the application that the context is registered in. Of several, what all of
   * them allow. When the last one has closed its policy stays, because its work may still run.
   */
  get registration (): Registration {
    return this.#outside
  }

  /** The applications that the context is registered in, the last one last. */
  get registrations (): readonly Registration[] {
    return this.#registrations
  }

  register (registration: Registration): void {
    this.#registrations.push(registration)
    this.#outside = strictestOf(this.#registrations)
    this.#interceptFetch(registration)
  }

  unregister (registration: Registration): void {
    this.#registrations.splice(this.#registrations.indexOf(registration), 1)
    if (this.#registrations.length > 0) {
      this.#outside = strictestOf(this.#registrations)
      return
    }
    this.#outside = { ...this.#outside, log: undefined }
    this.#restoreFetch?.()
    this.#restoreFetch = undefined
  }

  /** A scope opens outside of any other: what it sends with `fetch` has its headers, also where no application is. */
  openOutside (): Registration {
    this.#interceptFetch(this.#outside)
    return this.#outside
  }

  #interceptFetch ({ settings }: Registration): void {
    if (settings.keysFor !== undefined) this.#restoreFetch ??= this.#composeFetch?.(this.interceptor)
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
