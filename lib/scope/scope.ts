import { showAs } from '../common/inspection.ts'
import type { ScopeState, Impersonation, Origin } from './scope-state.ts'
import type { Line, Logger } from './line.ts'
import type { Policy } from '../config/key-policies.ts'
import type { Settings } from '../config/options.ts'
import type { Trace } from '../tracing/trace-context.ts'
import { describe, warn } from '../common/warnings.ts'
import { SettledScopes } from './settled-scopes.ts'
import { namesIn, type Shape, type Stores } from './stores.ts'
import { kScope } from '../common/symbols.ts'

/** A constant of this module: V8 loads an imported binding on each use, which adds 7 instructions (4 %) to a read of a key. */
const kOwnScope: typeof kScope = kScope

/**
 * The values of one scope, by name: a child's own, and those of the scopes around it. Values are copied, not inherited: a
 * prototype per scope would give every store its own hidden class, which makes opening and reading it much slower, and a
 * spread of the store would miss them. The storage holds this object, and `requestContext.get(key)` reads it as it is.
 */
export interface Store {
  [name: string]: unknown
  /** The scope whose store it is. */
  [kOwnScope]: Scope
}

/** What a context brought to the application it is registered in, the same for all its scopes there. */
export interface Registration {
  /** Which keys there are, what seeds them, and which of them log lines carry. */
  readonly policy: Policy
  /** Makes the stores of its scopes. */
  readonly stores: Stores
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
  readonly idPattern: Pick<RegExp, 'test'>
  /** Called after each write; `undefined` if nobody listens. */
  onWrite: ((scope: Scope, name: string) => void) | undefined
}

/** Work that the application waits for. */
export interface Pending {
  readonly promise: Promise<void>
  readonly scope: Scope | undefined
  /** What it is, for a log line. */
  readonly what: string
  /** When it started, by the clock of `now()`. */
  readonly since: number
}

/** One request, as the scopes of all contexts that cover it share it. */
export interface Lifetime {
  /** The innermost scope that was opened for the request itself. */
  scope: Scope
  /** The store in which the request goes on: that of `scope`, or of a run around the `done` of one of its hooks. */
  readonly current: Store
  /** The same as a scope: where `current` is a store that is not ours, the scope before it. */
  readonly innermost: Scope
  /** Which kind of hook ran last, or that it was the handler. */
  phase: string
  /** Whether the request re-enters its scope: Fastify's and Node's functions are replaced for it. */
  readonly reenters: boolean
  /** Whether its hooks and handlers are wrapped. */
  readonly watched: boolean
  /** Whether the connection was lost before the answer was complete. */
  readonly aborted: boolean
  /** The request goes on in another store from now on. */
  continueIn (store: Store): void
  /** Ends a scope with the request, if the request goes on in it. Returns whether it does. */
  defer (scope: Scope): boolean
  /** Defers the end until `release` was called as often. */
  hold (): void
  release (): void
}

/** How many scopes were opened in this process. */
let opened = 0

/** The number of the scope that was opened last: those that are opened from now on have higher ones. */
export function lastOpened (): number {
  return opened
}

/** How many open scopes a write reaches at once. More are let go, and look for what was written when they are used. */
const MAX_CHILDREN = 64

/** How many scopes in a row may have settled around one that is open, before they are let go. */
const MAX_SETTLED = 16

/**
 * The values of one unit of work: a request, a job, or a nested `ctx.run`. It has a parent, or is a root. What is private is
 * so for the compiler alone: `#` members are defined on each object one by one, which V8 leaves slow in a process of long life.
 */
export class Scope {
  /** The context whose keys these are. */
  readonly definition: object
  readonly registration: Registration
  parent: Scope | undefined
  readonly root: Scope
  /** The scope of another context around this one: both are current. */
  readonly enclosing: Scope | undefined
  /** Makes the stores of this scope and those below. */
  private readonly shape: Shape
  readonly store: Store
  /** Which scope of the process it is, in the order in which they were opened. */
  readonly number = ++opened
  /** The request this scope is of; `undefined` for a job. */
  readonly lifetime: Lifetime | undefined
  /** The logger of the request; `undefined` for a job. */
  log: Logger | undefined = undefined
  /** The pattern of the request's route, for messages. */
  route: string | undefined = undefined
  /** What the log lines of this scope carry, made at its first line. */
  line: Line | undefined = undefined
  lazyState: ScopeState<Scope> | undefined = undefined
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
  /** Of a child whose function has settled, or one of very many: whether writes around it no longer reach it, until `refresh`. */
  unlinked = false
  private settled = false
  /** Of a child: the keys that it was given values of its own for. Of a root: those that were set to `undefined`. */
  private own: string[] | undefined = undefined
  /** The scopes below that writes here reach at once: those whose function runs, and those around them. Most often there is one. */
  private children: Scope | Set<Scope> | undefined = undefined
  /** Of an unlinked scope: the values of the scope around it when it was up to date. What differs from them is its own. */
  private seen: Store | undefined = undefined
  /** Of a root: how often a value was written in it and below. Of an unlinked scope: how often when it was up to date. */
  private writes = 0
  /** Of a root: the scope that was used last after its function had settled, as all of a request may go on in it. */
  private usedLast: Scope | undefined = undefined
  /** Of the root of a request: the scopes below whose function has settled. */
  private settledBelow: SettledScopes<Scope> | undefined = undefined
  /** What keeps a settled scope in reach of its root. */
  private group: object | undefined = undefined
  /** Of a root that has ended: what is called with a scope before its values are dropped. */
  private last: ((scope: Scope) => void) | undefined = undefined

  constructor (definition: object, registration: Registration, parent?: Scope, enclosing?: Scope, lifetime?: Lifetime) {
    this.definition = definition
    this.registration = registration
    this.parent = parent
    this.root = parent === undefined ? this : parent.root
    this.enclosing = enclosing
    this.lifetime = lifetime
    this.shape = parent === undefined ? registration.stores.shape : parent.shape
    this.store = (parent === undefined ? this.shape.open(this) : this.openBelow(parent)) as Store
  }

  /** Takes its place among the scopes, and returns its store. */
  private openBelow (parent: Scope): object {
    if (parent.settled) {
      const around = parent.nearestOpen()
      if (around === undefined) parent.relink()
      else {
        for (const scope of parent.unlinkedAround()) scope.pull()
        this.lift(around)
      }
    } else if (parent.unlinked) parent.relink()
    if (!this.root.ended) this.parent!.adopt(this)
    return this.shape.below(this, parent.store)
  }

  private adopt (child: Scope): void {
    const { children } = this
    if (children === undefined) this.children = child
    else if (children instanceof Set) children.add(child)
    else if (children !== child) this.children = new Set([children, child])
  }

  private disown (child: Scope): void {
    if (this.children === child) this.children = undefined
    else if (this.children instanceof Set) {
      this.children.delete(child)
      if (this.children.size === 0) this.children = undefined
    }
  }

  private eachChild (): Iterable<Scope> {
    const { children } = this
    return children === undefined ? [] : children instanceof Set ? children : [children]
  }

  /**
   * The function of this scope has settled: it is let go, and writes around it cost nothing for it any more. Work that
   * nobody awaited may go on in it; it is brought up to date when that uses it.
   */
  settle (): void {
    if (this.parent === undefined) return
    this.settled = true
    const { root } = this
    if (root.lifetime !== undefined && !root.ended) this.group = (root.settledBelow ??= new SettledScopes()).add(this)
    if (this.children !== undefined) {
      const around = this.nearestOpen()
      if (around !== undefined) for (const child of this.eachChild()) child.lift(around)
    }
    this.unlink()
  }

  /** Takes a settled scope out of its parent's children, and the settled scopes around it that were there for it alone. */
  private unlink (): void {
    let scope: Scope = this
    while (scope.settled && !scope.unlinked && !scope.root.ended && scope.children === undefined) {
      const parent = scope.parent!
      scope.remember(parent.store)
      scope.unlinked = true
      scope.writes = scope.root.writes
      parent.disown(scope)
      scope = parent
    }
  }

  /** Finds what is its own: most scopes are never used again, so where a copy is cheap that is left for later. */
  private remember (around: Store): void {
    const { snapshot } = this.shape
    if (snapshot !== undefined) this.seen = snapshot(around) as Store
    else this.ownWhatDiffers(around)
  }

  /** What somebody wrote to the store itself, as `requestContext.set` does, is the scope's own. */
  private ownWhatDiffers (around: Store): void {
    const { store } = this
    for (const name in store) {
      const value = store[name]
      if (value !== around[name] && !Object.is(value, around[name])) this.addOwn(name)
    }
  }

  /** Brings an unlinked scope up to date, and keeps it and those around it so as long as it has children. */
  private relink (): void {
    for (const scope of this.unlinkedAround()) {
      scope.pull()
      scope.seen = undefined
      scope.unlinked = false
      scope.parent!.adopt(scope)
    }
  }

  /**
   * Brings a scope up to date that is used after its function has settled. After the end of its root, its values are dropped.
   */
  refresh (): void {
    if (!this.unlinked) return
    const { root } = this
    if (root.ended) {
      this.endOne(root.last!)
      return
    }
    root.usedLast = this
    if (this.writes === root.writes) return
    for (const scope of this.unlinkedAround()) scope.pull()
  }

  /** This scope and those around it that are unlinked, the outermost first. */
  private unlinkedAround (): Scope[] {
    const scopes: Scope[] = []
    for (let scope: Scope = this; scope.unlinked; scope = scope.parent!) scopes.push(scope)
    return scopes.reverse()
  }

  private pull (): void {
    const { store } = this.parent!
    if (this.seen !== undefined) this.ownWhatDiffers(this.seen)
    for (const name in store) {
      if (this.owns(name) || Object.is(this.store[name], store[name])) continue
      this.version++
      this.put(name, store[name])
    }
    this.remember(store)
    this.writes = this.root.writes
  }

  /** The nearest scope around that is open, where this one is the last of many that have settled; `undefined` where it is not. */
  private nearestOpen (): Scope | undefined {
    let scope: Scope = this
    for (let levels = 0; levels < MAX_SETTLED; levels++) {
      if (!scope.settled) return undefined
      scope = scope.parent!
    }
    while (scope.settled) scope = scope.parent!
    return scope
  }

  /**
   * Makes this scope the child of one further out. It keeps what it has of the settled scopes between, as its own: a loop
   * whose every step opens a scope from within the last must not hold them all.
   */
  private lift (around: Scope): void {
    if (around.unlinked) around.relink()
    let deadline: number | undefined
    let impersonation: Impersonation | undefined
    let messageId: string | undefined
    for (let scope = this.parent!; scope !== around; scope = scope.parent!) {
      for (const name of scope.own ?? []) this.addOwn(name)
      impersonation ??= scope.lazyState?.impersonation
      messageId ??= scope.lazyState?.messageId
      deadline ??= scope.lazyState?.cancellation?.deadline
    }
    if (impersonation !== undefined) this.state().impersonation ??= impersonation
    if (messageId !== undefined) this.state().messageId ??= messageId
    if (deadline !== undefined) this.state().cancellation ??= { deadline, controller: undefined, followers: undefined, release: undefined }
    this.parent!.disown(this)
    this.parent = around
    around.adopt(this)
  }

  /**
   * Ends this root and the scopes below it: whatever still holds one of them holds no value any more. `last` is called with
   * each of them while its values are still there. It never throws: other scopes have to end, too.
   */
  end (last: (scope: Scope) => void): void {
    if (this.ended) return
    const scopes: Scope[] = [this]
    for (const scope of scopes) scopes.push(...scope.eachChild())
    for (let scope = this.usedLast; scope?.unlinked === true; scope = scope.parent) scopes.push(scope)
    // A timer or a listener may keep one that nothing here references.
    for (const scope of this.settledBelow ?? []) scopes.push(scope)
    this.usedLast = undefined
    this.settledBelow = undefined
    this.last = last
    for (const scope of scopes.reverse()) if (!scope.ended) scope.endOne(last)
  }

  private endOne (last: (scope: Scope) => void): void {
    try {
      last(this)
    } catch (error) {
      warn('FST_CTX_BACKGROUND', 'the end of a scope failed, and its values are dropped all the same: see the detail', describe(error))
    }
    this.children = undefined
    if (this.lazyState !== undefined) {
      const { onEndCallbacks, cancellation } = this.lazyState
      this.lazyState = undefined
      // Work that nobody waited for still runs: its onEnd callbacks and its cancellation are kept.
      if ((onEndCallbacks ?? cancellation) !== undefined) Object.assign(this.state(), { onEndCallbacks, cancellation })
    }
    this.origins = undefined
    this.seen = undefined
    this.done = true
    this.ended = true
    this.unlinked = false
    for (const name in this.store) this.put(name, undefined)
  }

  /** The keys that the first values of this scope are for: each gets its own by `first`. */
  begin (names: string[]): void {
    if (this.parent !== undefined) this.own = names
  }

  /** Gives a key its first value, before anything can be opened below or see another. */
  first (name: string, value: unknown): void {
    if (value === undefined && this.parent === undefined) this.addOwn(name)
    this.put(name, value)
    if (this.registration.onWrite !== undefined) this.registration.onWrite(this, name)
  }

  /** Gives a key its value in this scope, and in those below that have none of their own. */
  write (name: string, value: unknown): void {
    if (this.unlinked) this.refresh()
    this.version++
    this.root.writes++
    if (this.unlinked) this.writes = this.root.writes
    if (this.parent !== undefined) this.addOwn(name)
    else {
      if (value === undefined) this.addOwn(name)
      this.registration.stores.expect(this.version)
    }
    if (this.children !== undefined) {
      if (this.children instanceof Set && this.children.size > MAX_CHILDREN) this.letGo()
      else this.handDown(name, value)
    }
    this.put(name, value)
    if (this.registration.onWrite !== undefined && !this.ended) this.registration.onWrite(this, name)
  }

  private addOwn (name: string): void {
    if (this.own === undefined) this.own = [name]
    else if (!this.own.includes(name)) this.own.push(name)
  }

  /** Whether a key was given its value here, not in a scope around this one. */
  owns (name: string): boolean {
    return this.own?.includes(name) === true || (this.parent === undefined && this.store[name] !== undefined)
  }

  /** Gives a value to the scopes below. One that has another than this scope was given it by whoever wrote to its store. */
  private handDown (name: string, value: unknown): void {
    const before = this.store[name]
    const scopes: Scope[] = [this]
    for (const scope of scopes) {
      for (const child of scope.eachChild()) {
        if (child.owns(name) || !Object.is(child.store[name], before)) continue
        child.version++
        child.put(name, value)
        scopes.push(child)
      }
    }
  }

  /** Unlinks all scopes below: a write must not cost more the more of them are open. */
  private letGo (): void {
    const scopes: Scope[] = [this]
    for (const scope of scopes) {
      for (const child of scope.eachChild()) {
        child.remember(scope.store)
        child.unlinked = true
        child.writes = this.root.writes - 1
        scopes.push(child)
      }
      scope.children = undefined
    }
  }

  /** The scopes below, at any depth, whose function runs, or in which others run. */
  * below (): Generator<Scope> {
    for (const child of this.eachChild()) {
      yield child
      yield * child.below()
    }
  }

  private put (name: string, value: unknown): void {
    this.registration.stores.put(this.store, name, value)
  }

  /** What only some scopes have, made for this one now. */
  state (): ScopeState<Scope> {
    this.lazyState ??= {
      cache: undefined, memoized: undefined, cancellation: undefined, impersonation: undefined, messageId: undefined, madeBy: undefined, onEndCallbacks: undefined, afterTasks: undefined
    }
    return this.lazyState
  }
}

showAs(Scope.prototype, ({ store }) => `Scope { ${namesIn(store)} }`)

/** Whether something is a copy of a scope's store: `{ ...store }`, or an object that inherits from it. */
export function isCopiedStore (store: object | undefined): boolean {
  const scope = (store as Store | undefined)?.[kOwnScope]
  return scope !== undefined && scope.store !== store
}

/** The scope whose store this is; `undefined` for no store, or for one that is not ours. */
export function scopeOfStore (store: object | undefined): Scope | undefined {
  const scope = (store as Store | undefined)?.[kOwnScope]
  // A copy of a store has its symbol, too, and is no scope.
  return scope !== undefined && scope.store === store ? scope : undefined
}
