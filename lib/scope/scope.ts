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
 * The values of one scope, by name: its own, and those of the scopes around it. Values are copied, not inherited: a
 * prototype per scope would give every store its own hidden class, which makes opening and reading it much slower, and a
 * spread of the store would miss them. The storage holds this object, and `requestContext.get(key)` reads it as it is.
 */
export interface Store {
  [name: string]: unknown
  /** The scope whose store it is. */
  [kOwnScope]: Scope
}

/** The rules of a context in one application, shared by all its scopes there. */
export interface Registration {
  /** The keys, their seeds, and which of them log lines have. */
  readonly policy: Policy
  /** Makes the stores of its scopes. */
  readonly stores: Stores
  /** The logger of the application, if it has one. */
  readonly log: Logger | undefined
  /** The name of the field that carries the request id on log lines. */
  readonly idLabel: string
  /** Work that outlives its request, and callbacks at its end. The application waits for them before it closes. */
  readonly pending: Set<Pending>
  /** The options for what may leave and enter the process. */
  readonly settings: Settings
  /** The name of the header that carries the request id. */
  readonly idHeader: string
  /** The pattern that a request id from outside must match. */
  readonly idPattern: Pick<RegExp, 'test'>
  /** Called after each write; `undefined` if nobody listens. */
  onWrite: ((scope: Scope, name: string) => void) | undefined
}

/** Work that the application waits for. */
export interface Pending {
  readonly promise: Promise<void>
  readonly scope: Scope | undefined
  /** Its description for a log line. */
  readonly what: string
  /** When it started, by the clock of `now()`. */
  readonly since: number
}

/** The state of a request that the scopes of all contexts share. */
export interface Lifetime {
  /** The innermost scope that was opened for the request itself. */
  scope: Scope
  /** The store in which the request continues: that of `scope`, or of a run around the `done` of one of its hooks. */
  readonly current: Store
  /** The scope of `current`. If `current` is a foreign store, the scope before it. */
  readonly innermost: Scope
  /** The kind of hook that ran last, or `handler`. */
  phase: string
  /** Whether the request re-enters its scope by replaced functions of Fastify and Node.js. */
  readonly reenters: boolean
  /** Whether its hooks and handlers are wrapped. */
  readonly watched: boolean
  /** Whether the connection was lost before the response was complete. */
  readonly aborted: boolean
  /** Makes the request continue in another store from now on. */
  continueIn (store: Store): void
  /** Ends a scope with the request if the request continues in it. Returns whether it does. */
  defer (scope: Scope): boolean
  /** Defers the end until `release` has been called equally often. */
  hold (): void
  release (): void
}

/** How many scopes were opened in this process. */
let opened = 0

/** The number of the scope that was opened last. Later scopes have higher numbers. */
export function lastOpened (): number {
  return opened
}

/** How many open child scopes a write reaches directly. If there are more, they are unlinked and read the written values when they are used. */
const MAX_CHILDREN = 64

/** How many settled scopes in a row may be around an open one before they are released. */
const MAX_SETTLED = 16

/**
 * The values of a request, a job, or a nested `ctx.run`. A scope has a parent, or is a root. Its private members are private for the
 * compiler only, because `#` members are defined on each object one by one, which V8 leaves slow in a long-running process.
 */
export class Scope {
  /** The context whose keys these are. */
  readonly definition: object
  readonly registration: Registration
  parent: Scope | undefined
  readonly root: Scope
  /** The scope of another context around this one. Both are current. */
  readonly enclosing: Scope | undefined
  /** Makes the stores of this scope and those below. */
  private readonly shape: Shape
  readonly store: Store
  /** The number of the scope in the process, in the order of opening. */
  readonly number = ++opened
  /** The request of this scope. `undefined` for a job. */
  readonly lifetime: Lifetime | undefined
  /** The logger of the request. `undefined` for a job. */
  log: Logger | undefined = undefined
  /** The pattern of the request's route, for messages. */
  route: string | undefined = undefined
  /** The fields of the log lines of this scope, created at its first line. */
  line: Line | undefined = undefined
  lazyState: ScopeState<Scope> | undefined = undefined
  /** For a `run`: its function, as long as it runs. */
  work: ((...args: never[]) => unknown) | undefined = undefined
  /** For a root: the place in a trace where it began. */
  trace: Trace | undefined = undefined
  /** The phases in which keys were set, the last one first. */
  origins: Origin | undefined = undefined
  /** How often a value was written here. */
  version = 0
  /** Whether the function of this scope has settled, or its request has ended. It takes no more onEnd callbacks then. */
  done = false
  /** Whether its values were dropped, as at the end of a request. */
  ended = false
  /** For a child whose function has settled, or one of very many: whether writes around it do not reach it until `refresh`. */
  unlinked = false
  private settled = false
  /** For a child: the keys with its own values. For a root: the keys that were set to `undefined`. */
  private own: string[] | undefined = undefined
  /** The child scopes that writes here reach directly: those whose function runs, and those around them. Usually there is one. */
  private children: Scope | Set<Scope> | undefined = undefined
  /** For an unlinked scope: the values of the scope around it when it was last up to date. Values that differ from them are its own. */
  private seen: Store | undefined = undefined
  /** For a root: the number of writes in it and below. For an unlinked scope: that number when it was last up to date. */
  private writes = 0
  /** For a root: the scope that was used last after its function had settled. A whole request may continue in it. */
  private usedLast: Scope | undefined = undefined
  /** For the root of a request: the last scopes below whose function has settled. */
  private settledBelow: SettledScopes<Scope> | undefined = undefined
  /** Lets the root find a settled scope. */
  private group: object | undefined = undefined
  /** For a root that has ended: called with a scope before its values are dropped. */
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

  /** Links the scope to its parent, and returns its store. */
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
   * Unlinks this scope after its function has settled, so that writes around it cost nothing for it any more. Work that nobody
   * awaited may continue in it. The scope is brought up to date when such work uses it.
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

  /** Removes a settled scope from its parent's children, and the settled scopes around it that were kept only for it. */
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

  /** Finds the values that are its own. Most settled scopes are never used again, so this is done later if a copy is cheap. */
  private remember (around: Store): void {
    const { snapshot } = this.shape
    if (snapshot !== undefined) this.seen = snapshot(around) as Store
    else this.ownWhatDiffers(around)
  }

  /** Marks values that were written to the store itself, as `requestContext.set` does, as the scope's own. */
  private ownWhatDiffers (around: Store): void {
    const { store } = this
    for (const name in store) {
      const value = store[name]
      // `Object.is` comes last, because it takes longer than the rest of a nested run on Node 24.
      if (value !== around[name] && this.own?.includes(name) !== true && !Object.is(value, around[name])) this.addOwn(name)
    }
  }

  /** Brings an unlinked scope up to date, and keeps it and the scopes around it up to date as long as it has children. */
  private relink (): void {
    for (const scope of this.unlinkedAround()) {
      scope.pull()
      scope.seen = undefined
      scope.unlinked = false
      scope.parent!.adopt(scope)
    }
  }

  /**
   * Brings a scope up to date that is used after its function has settled. If its root has ended, its values are dropped.
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

  /** The nearest open scope around, if this one is the last of many settled ones. Otherwise `undefined`. */
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
   * Makes this scope the child of one further out. It keeps the values of the settled scopes between as its own, because a loop in
   * which each step opens a scope within the last one must not keep them all in memory.
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
   * Ends this root and the scopes below it. Their values are dropped, even if something still references a scope. `last` is called
   * with each of them while its values are still there. It never throws, because the other scopes must end, too.
   */
  end (last: (scope: Scope) => void): void {
    if (this.ended) return
    this.last = last
    // Most requests have no scope below.
    if ((this.children ?? this.usedLast ?? this.settledBelow) === undefined) return this.endOne(last)
    const scopes: Scope[] = [this]
    for (const scope of scopes) scopes.push(...scope.eachChild())
    for (let scope = this.usedLast; scope?.unlinked === true; scope = scope.parent) scopes.push(scope)
    // A timer or a listener may keep a scope that nothing here references.
    for (const scope of this.settledBelow ?? []) scopes.push(scope)
    this.usedLast = undefined
    this.settledBelow = undefined
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
      // Work that nobody awaited still runs, so its onEnd callbacks and its cancellation are kept.
      if ((onEndCallbacks ?? cancellation) !== undefined) Object.assign(this.state(), { onEndCallbacks, cancellation })
    }
    this.origins = undefined
    this.seen = undefined
    this.done = true
    this.ended = true
    this.unlinked = false
    for (const name in this.store) this.put(name, undefined)
  }

  /** Announces the keys of the first values of this scope. Each gets its value by `first`. */
  begin (names: string[]): void {
    if (this.parent !== undefined) this.own = names
  }

  /** Gives a key its first value, before other scopes can open below or read it. */
  first (name: string, value: unknown): void {
    if (value === undefined && this.parent === undefined) this.addOwn(name)
    this.put(name, value)
    if (this.registration.onWrite !== undefined) this.registration.onWrite(this, name)
  }

  /** Sets a key in this scope, and in the scopes below without their own value. */
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

  /** Whether a key got its value here, and not in a scope around this one. */
  owns (name: string): boolean {
    return this.own?.includes(name) === true || (this.parent === undefined && this.store[name] !== undefined)
  }

  /** Passes a value to the scopes below. If the value of one differs, something wrote to its store, so it keeps its value. */
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

  /** Unlinks all scopes below, so that the cost of a write does not grow with their number. */
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

  /** The scopes below, at any depth, whose function runs or in which other functions run. */
  * below (): Generator<Scope> {
    for (const child of this.eachChild()) {
      yield child
      yield * child.below()
    }
  }

  private put (name: string, value: unknown): void {
    this.registration.stores.put(this.store, name, value)
  }

  /** The data that only some scopes have. Created on first use. */
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

/** Returns the scope of a store. `undefined` for no store or a foreign one. */
export function scopeOfStore (store: object | undefined): Scope | undefined {
  const scope = (store as Store | undefined)?.[kOwnScope]
  // A copy of a store has the symbol, too, but is not the store of a scope.
  return scope !== undefined && scope.store === store ? scope : undefined
}
