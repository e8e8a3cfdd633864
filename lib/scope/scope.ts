import { showAs } from '../common/inspection.ts'
import type { Extras, Origin } from './scope-state.ts'
import type { Line, Logger } from './line.ts'
import type { Policy } from '../config/key-policies.ts'
import type { Settings } from '../config/options.ts'
import type { Trace } from '../tracing/trace-context.ts'

const kScope = Symbol('fastify-ctx.scope')

/**
 * The values of one scope, by name: a child's own, and those of the scopes around it, which are handed down when they are
 * written. Not by a prototype: one that each scope has for itself makes each store an object of a shape of its own, and
 * opening and reading it many times dearer. This object is what the storage holds, hence `requestContext.get(key)` reads it as it is.
 */
export interface Store {
  [name: string]: unknown
  /** The scope whose store it is. */
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
  /** Work that outlives its request, or ends it: the application waits for it before it closes. */
  readonly pending: Set<Pending>
  /** What else may leave the process, and enter it. */
  readonly settings: Settings
  /** The name of the header that takes the request id along. */
  readonly idHeader: string
  /** What a request id from outside must match. */
  readonly idPattern: RegExp
  /** Hears of each value that a scope gets; `undefined` where nobody listens. */
  readonly written: ((scope: Scope, name: string) => void) | undefined
}

/** Work that the application waits for. */
export interface Pending {
  readonly promise: Promise<void>
  readonly scope: Scope | undefined
  /** What it is, for a log line. */
  readonly what: string
}

/** One request, as the scopes of all contexts that cover it share it. */
export interface Life {
  /** The innermost scope of the request itself: what its hooks, handler and listeners run in. */
  scope: Scope
  /** Which kind of hook ran last, or that it was the handler. */
  phase: string
  /** Whether the client went away before it had the answer. */
  readonly lost: boolean
  /** Puts its end off, until `release` was called as often. */
  hold (): void
  release (): void
}

/**
 * The values of one unit of work: a request, a job, or a nested `ctx.run`. It has a parent, or is a root. What is private is
 * so for the compiler alone: `#` members are defined on each object one by one, which V8 leaves slow in a process of long life.
 */
export class Scope {
  /** The context whose keys these are. */
  readonly owner: object
  readonly registration: Registration
  readonly parent: Scope | undefined
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
  extras: Extras | undefined = undefined
  /** Of a `run`: its function, as long as it runs. */
  work: ((...args: never[]) => unknown) | undefined = undefined
  /** Of a root: where in a trace it began. */
  trace: Trace | undefined = undefined
  /** In which phases keys were set, the last first. */
  origins: Origin | undefined = undefined
  /** How often a value was written here. */
  version = 0
  /** Whether the function of this scope is done, or its request over: nothing can be put off to its end any more. */
  done = false
  /** Whether its values are gone, as those of a request are when it is over. */
  ended = false
  /** Of a child: the keys that it was given values of its own for. */
  private own: string[] | undefined = undefined
  private children: Array<WeakRef<Scope>> | undefined = undefined
  private pruneAt = 8

  constructor (owner: object, registration: Registration, parent?: Scope, outer?: Scope, life?: Life) {
    this.owner = owner
    this.registration = registration
    this.parent = parent
    this.root = parent === undefined ? this : parent.root
    this.outer = outer
    this.life = life
    this.store = new NewStore(this)
    if (parent === undefined) return
    for (const name in parent.store) this.put(name, parent.store[name])
    parent.adopt(this)
  }

  /** Keeps a child in sight, without keeping it alive. */
  private adopt (child: Scope): void {
    this.children ??= []
    if (this.children.length >= this.pruneAt) {
      this.children = this.children.filter((reference) => reference.deref() !== undefined)
      this.pruneAt = 2 * Math.max(4, this.children.length)
    }
    this.children.push(new WeakRef(child))
  }

  /**
   * Ends this scope and those below it: whatever still holds one of them holds no value any more. `last` is called
   * with each of them while its values are still there.
   */
  end (last: (scope: Scope) => void): void {
    if (this.ended) return
    for (const reference of this.children ?? []) reference.deref()?.end(last)
    this.children = undefined
    last(this)
    if (this.extras !== undefined) {
      const { ends, cancellation } = this.extras
      this.extras = undefined
      // Work that nobody waited for still runs: what it put off to its end, and what cut it short, is not lost.
      if ((ends ?? cancellation) !== undefined) Object.assign(this.use(), { ends, cancellation })
    }
    this.origins = undefined
    this.done = true
    this.ended = true
    for (const name in this.store) this.put(name, undefined)
  }

  /** Gives a key its value in this scope, and in those below that have none of their own. */
  write (name: string, value: unknown): void {
    this.version++
    if (this.parent !== undefined && !this.owns(name)) (this.own ??= []).push(name)
    if (this.children !== undefined) this.hand(name, value, this.store[name])
    this.put(name, value)
    if (this.registration.written !== undefined && !this.ended) this.registration.written(this, name)
  }

  /** Whether a key was given its value here, not in a scope around this one. */
  owns (name: string): boolean {
    return this.parent === undefined ? Object.hasOwn(this.store, name) : this.own?.includes(name) === true
  }

  /** Hands a value down. A child that has another than `before` was given it by whoever wrote to its store. */
  private hand (name: string, value: unknown, before: unknown): void {
    for (const reference of this.children ?? []) {
      const child = reference.deref()
      if (child === undefined || child.owns(name) || !Object.is(child.store[name], before)) continue
      child.hand(name, value, before)
      child.put(name, value)
    }
  }

  /** A locked key stays as it is for whoever writes to the store itself. */
  private put (name: string, value: unknown): void {
    const { locked } = this.registration.policy
    if (locked.size === 0 || !locked.has(name)) this.store[name] = value
    else Object.defineProperty(this.store, name, { value, writable: value === undefined, enumerable: true, configurable: true })
  }

  /** What only some scopes have, made for this one now. */
  use (): Extras {
    this.extras ??= {
      cache: undefined, memoized: undefined, cancellation: undefined, impersonation: undefined, madeBy: undefined, ends: undefined, afters: undefined
    }
    return this.extras
  }
}

/** Stores have no prototype but another store: a key may have any name, and no method is taken for a value. */
const bare = Object.create(null) as object
showAs(bare, (store) => `Store { ${namesIn(store as Store)} }`)
Object.freeze(bare)

showAs(Scope.prototype, ({ store }) => `Scope { ${namesIn(store)} }`)

/** The names of the keys that have a value, for people. */
function namesIn (store: Store): string {
  return Object.keys(store).filter((name) => store[name] !== undefined).join(', ')
}

function StoreOf (this: Store, scope: Scope): void {
  this[kScope] = scope
}
StoreOf.prototype = bare

/** A constructor, so that all stores have one shape, which makes a read cheap. */
const NewStore = StoreOf as unknown as new (scope: Scope) => Store

/** The scope whose store this is; `undefined` for no store, or for one that is not ours. */
export function scopeOfStore (store: object | undefined): Scope | undefined {
  return (store as Store | undefined)?.[kScope]
}
