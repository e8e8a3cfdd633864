import { FST_CTX_ALREADY_CONFIGURED, FST_CTX_INVALID_OPTION, FST_CTX_NOT_CONFIGURED, FST_CTX_UNKNOWN_KEY } from '../common/errors.ts'
import { ownOptions } from '../common/own-options.ts'
import { attributeWriter } from '../logging/fields.ts'
import { interceptorOf, type Interceptor } from '../propagation/undici-interceptor.ts'
import { checkName, NO_KEYS, readKeys, type Policy } from '../config/key-policies.ts'
import { DEFAULT_HEADER, idPattern } from '../config/request-id.ts'
import type { Registration } from '../scope/scope.ts'
import { Stores } from '../scope/stores.ts'
import { CREATE_OPTIONS, isGiven, readSettings, type CreateOptions, type LateOptions } from '../config/options.ts'
import { strictestOf } from './strictest.ts'

/** Makes `fetch` go through an interceptor. Returns a function that undoes this. */
export type ComposeFetch = (interceptor: Interceptor) => () => void

/** Options that are given after the context was made, and the keys of the ready-made context. */
export interface AddedOptions extends LateOptions { readonly keys?: Readonly<Record<string, unknown>> }

/** The rules of a context: its keys, and what may leave and enter the process. */
export type Rules = Pick<Registration, 'policy' | 'settings'>

/** Identity of a context. Every scope points to its definition, and two contexts never see each other's scopes. */
export class ContextDefinition {
  /** The keys of `createContext`. `undefined` for the ready-made context, whose keys come with its registration. */
  readonly keys: Policy | undefined
  /** Adds the headers of this context's scopes to outgoing calls. */
  readonly interceptor: Interceptor = interceptorOf(this)
  readonly #composeFetch: ComposeFetch | undefined
  #restoreFetch: (() => void) | undefined
  #outside: Registration
  readonly #registrations: Registration[] = []
  /** The options that hold for all applications. */
  #options: CreateOptions & Pick<AddedOptions, 'keys'>
  #rules: Rules
  /** Why `configure` is refused from now on. */
  #fixed: string | undefined

  constructor (keys?: Policy, options: CreateOptions = {}, composeFetch?: ComposeFetch) {
    this.keys = keys
    this.#options = options
    this.#composeFetch = composeFetch
    const policy = keys ?? NO_KEYS
    const settings = readSettings(options, policy)
    this.#rules = { policy, settings }
    this.#outside = {
      policy, stores: new Stores(policy), settings, log: undefined, idLabel: 'reqId', idHeader: DEFAULT_HEADER, idPattern: idPattern({}), pending: new Set(), onWrite: attributeWriter(settings.tracing)
    }
  }

  /**
   * The registration for scopes outside requests: the application's, or what all of several applications allow. After the last
   * application has closed, its policy stays, because its work may still run.
   */
  get registration (): Registration {
    return this.#outside
  }

  /** The registrations of the context, in order. */
  get registrations (): readonly Registration[] {
    return this.#registrations
  }

  /**
   * Gives the context options that were not known when it was made.
   *
   * @throws FST_CTX_ALREADY_CONFIGURED
   * @throws FST_CTX_INVALID_OPTION
   */
  configure (given: AddedOptions): void {
    if (this.#fixed !== undefined) throw new FST_CTX_ALREADY_CONFIGURED(this.#fixed)
    const options = pick(given)
    const rules = this.#with(options)
    this.#fixed = 'it was called before'
    this.#options = { ...this.#options, ...options }
    this.#rules = rules
    this.#outside = { ...this.#outside, ...rules, onWrite: attributeWriter(rules.settings.tracing) }
  }

  /**
   * Returns the rules for an application that registers the context with its own options.
   *
   * @throws FST_CTX_INVALID_OPTION
   * @throws FST_CTX_NOT_CONFIGURED
   */
  rulesFor (given: AddedOptions): Rules {
    const options = pick(given)
    const rules = this.#with(options)
    const missing = (['envelope', 'propagate'] as const).find((name) => this.#options[name] === 'late' && options[name] === undefined)
    if (missing !== undefined) throw new FST_CTX_NOT_CONFIGURED(missing)
    return rules
  }

  /** Returns the rules with more options added. Each option may be given once. */
  #with (given: AddedOptions): Rules {
    const names = Object.keys(given) as Array<keyof AddedOptions>
    const twice = names.find((name) => isGiven(this.#options[name]))
    if (twice !== undefined) throw new FST_CTX_INVALID_OPTION(twice, 'was given already, by createContext() or ctx.configure(): give it in one place')
    if (names.length === 0) return this.#rules
    const policy = given.keys === undefined ? this.#rules.policy : readKeys(given.keys)
    return { policy, settings: readSettings({ ...this.#options, ...given }, policy) }
  }

  register (registration: Registration): void {
    this.#fixed = 'the context is registered in an application'
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

  /** Called when a scope opens outside any other scope. Its `fetch` calls get its headers, also without an application. */
  openOutside (): Registration {
    this.#fixed ??= 'a scope of the context was opened before'
    this.#interceptFetch(this.#outside)
    return this.#outside
  }

  #interceptFetch ({ settings }: Registration): void {
    if (settings.keysFor !== undefined) this.#restoreFetch ??= this.#composeFetch?.(this.interceptor)
  }

  /**
   * Refuses an unknown key. The ready-made context accepts every valid name, because the types know the keys.
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

/** Picks the options of a context that have a value. */
function pick (given: AddedOptions): AddedOptions {
  return Object.fromEntries(Object.entries(ownOptions(given)).filter(([name, value]) => value !== undefined && (name === 'keys' || CREATE_OPTIONS.has(name))))
}
