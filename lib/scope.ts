import type { Policy } from './key.ts'
import type { Line, Logger } from './line.ts'

const kScope = Symbol('fastify-ctx.scope')

/**
 * The values of one scope, by name. A child's inherit from its parent's, so that it reads what the parent has now, and
 * writes stay its own. This object is what the storage holds, hence `requestContext.get(key)` reads it as it is.
 */
export interface Store {
  [name: string]: unknown
  /** Own in each store, never inherited: `createStore` sets it. */
  [kScope]: Scope
}

/** What a context brought to the application it is registered in, the same for all its scopes there. */
export interface Registration {
  /** Which keys there are, what seeds them, and which of them log lines carry. */
  readonly policy: Policy
  /** The logger of the application, if it has one. */
  readonly log: Logger | undefined
  /** The name of the field that carries the request id on log lines. */
  readonly idLabel: string
}

/** One request, as the scopes of all contexts that cover it share it. */
export interface Life {
  /** The innermost scope of the request itself: what its hooks, handler and listeners run in. */
  scope: Scope
}

/** The values of one unit of work: a request, a job, or a nested `ctx.run`. It has a parent, or is a root. */
export class Scope {
  /** The context whose keys these are. */
  readonly owner: object
  readonly registration: Registration
  readonly root: Scope
  /** The scope of another context around this one: both are current. */
  readonly outer: Scope | undefined
  readonly store: Store
  /** The request this scope is of; `undefined` for a job. */
  readonly life: Life | undefined
  /** The logger of the request; `undefined` for a job. */
  log: Logger | undefined = undefined
  /** The pattern of the request's route, for messages. */
  route: string | undefined = undefined
  /** What the log lines of this scope carry, made at its first line. */
  line: Line | undefined = undefined
  /** What `request.ctx` is, made when it is first read. */
  access: object | undefined = undefined
  ended = false
  #children: Array<WeakRef<Scope>> | undefined = undefined
  #pruneAt = 8

  constructor (owner: object, registration: Registration, parent?: Scope, outer?: Scope, life?: Life) {
    this.owner = owner
    this.registration = registration
    this.root = parent === undefined ? this : parent.root
    this.outer = outer
    this.life = life
    this.store = createStore(this, parent)
    if (this.root !== this && this.root.life !== undefined) this.root.#adopt(this)
  }

  /** Keeps a child in sight until this root ends, without keeping it alive. */
  #adopt (child: Scope): void {
    this.#children ??= []
    if (this.#children.length >= this.#pruneAt) {
      this.#children = this.#children.filter((reference) => reference.deref() !== undefined)
      this.#pruneAt = 2 * Math.max(4, this.#children.length)
    }
    this.#children.push(new WeakRef(child))
  }

  /**
   * Ends this scope and those below it: whatever still holds one of them holds no value any more. `last` is called
   * with each of them while its values are still there.
   */
  end (last: (scope: Scope) => void): void {
    if (this.ended) return
    for (const reference of this.#children ?? []) reference.deref()?.end(last)
    this.#children = undefined
    last(this)
    this.ended = true
    for (const name of Object.keys(this.store)) this.store[name] = undefined
  }
}

/** Stores have no prototype but another store: a key may have any name, and no method is taken for a value. */
const bare: object = Object.freeze(Object.create(null))

function StoreOf (this: Store, scope: Scope): void {
  this[kScope] = scope
}
StoreOf.prototype = bare

function createStore (scope: Scope, parent: Scope | undefined): Store {
  if (parent === undefined) return new (StoreOf as unknown as new (scope: Scope) => Store)(scope)
  const store = Object.create(parent.store) as Store
  store[kScope] = scope
  return store
}

/** The scope whose store this is; `undefined` for no store, or for one that is not ours. */
export function scopeOfStore (store: object | undefined): Scope | undefined {
  return (store as Store | undefined)?.[kScope]
}

/** The scope that a child reads through; `undefined` for a root. */
export function parentOf (scope: Scope): Scope | undefined {
  return scopeOfStore(Object.getPrototypeOf(scope.store) as object)
}

/** The innermost scope of one context, from `scope` outwards. */
export function scopeOf (owner: object, scope: Scope | undefined): Scope | undefined {
  while (scope !== undefined && scope.owner !== owner) scope = scope.outer
  return scope
}
