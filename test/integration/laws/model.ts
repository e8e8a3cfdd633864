// What the three laws say about a program, without any of our code: a tree of scopes, their requests, and the threads of code in them.

export const KEYS = ['tenant', 'user', 'note', 'connection'] as const
export type Key = typeof KEYS[number]
export type Values = Readonly<Partial<Record<Key, string>>>

/** Only an impersonation may replace the value of this key once it has one. */
export const LOCKED: Key = 'tenant'

/** Copies for detached work leave it out. */
export const UNDETACHED: Key = 'connection'

/** What code sees. */
export interface Seen {
  readonly requestId: string | undefined
  readonly values: ReadonlyArray<string | undefined>
  readonly actors: ReadonlyArray<string | undefined>
  readonly reason: string | undefined
  readonly aborted: boolean | undefined
}

interface Impersonation { readonly reason: string, readonly actors: ReadonlyMap<Key, string | undefined> }

/** What code sees after the complete response of its request. */
const NOTHING: Seen = { requestId: undefined, values: KEYS.map(() => undefined), actors: KEYS.map(() => undefined), reason: undefined, aborted: undefined }

export class ModelScope {
  readonly parent: ModelScope | undefined
  readonly root: ModelScope
  readonly own: Map<Key, string>
  readonly impersonation: Impersonation | undefined
  /** Callbacks of onEnd, in the order in which they were added. */
  readonly onEnd: string[] = []
  /** Of a root. `undefined`: a random id, which the first look records. */
  requestId: string | undefined
  aborted = false
  /** Whether the function of this scope has settled, or its request has ended. */
  done = false
  /** Of a root: whether its values are gone. */
  ended = false
  /** Of a root: threads that start when it is done. */
  readonly after: ModelThread[] = []

  constructor (parent: ModelScope | undefined, values: Values, options: { readonly requestId?: string | undefined, readonly impersonation?: Impersonation | undefined } = {}) {
    this.parent = parent
    this.root = parent?.root ?? this
    this.own = new Map(Object.entries(values) as Array<[Key, string]>)
    this.requestId = options.requestId
    this.impersonation = options.impersonation ?? parent?.impersonation
  }

  get (key: Key): string | undefined {
    for (let scope: ModelScope | undefined = this; scope !== undefined; scope = scope.parent) if (scope.own.has(key)) return scope.own.get(key)
    return undefined
  }

  look (): Seen {
    if (this.root.ended) return NOTHING
    const { requestId, aborted } = this.root
    const actors = this.impersonation?.actors
    return { requestId, values: KEYS.map((key) => this.get(key)), actors: KEYS.map((key) => actors?.has(key) === true ? actors.get(key) : this.get(key)), reason: this.impersonation?.reason, aborted }
  }

  /** The outcome of `run` and `set` with these values. */
  refusal (values: Values): string | undefined {
    return LOCKED in values && this.get(LOCKED) !== undefined && !this.root.ended ? 'FST_CTX_LOCKED' : undefined
  }

  /** A scope for `run` below this one. Below an ended scope it is a root. */
  run (values: Values): ModelScope {
    return new ModelScope(this.root.ended ? undefined : this, values)
  }

  impersonate (values: Values, reason: string): ModelScope {
    const actors = new Map(this.impersonation?.actors)
    for (const key of Object.keys(values) as Key[]) if (!actors.has(key)) actors.set(key, this.get(key))
    return new ModelScope(this, values, { impersonation: { reason, actors } })
  }

  /** The scope of detached work: all current values, without later changes. */
  copy (): ModelScope {
    if (this.root.ended) return this
    const values = Object.fromEntries(KEYS.flatMap((key) => key === UNDETACHED || this.get(key) === undefined ? [] : [[key, this.get(key)!]]))
    const { impersonation } = this
    const actors = new Map([...impersonation?.actors ?? []].filter(([key]) => key !== UNDETACHED))
    return new ModelScope(undefined, values, { requestId: this.root.requestId, impersonation: impersonation && { ...impersonation, actors } })
  }
}

/** Code that runs separately: a handler, a job, a branch that nobody awaits, detached work. */
export interface ModelThread {
  readonly name: string
  /** The scope in which it began, and the scopes that it opened. */
  readonly scopes: ModelScope[]
  /** The request of this handler. */
  readonly request: ModelRequest | undefined
  /** Whether its first scope settles with it. */
  readonly owns: boolean
}

export interface ModelRequest {
  readonly id: string
  readonly root: ModelScope
  /** Where the request continues: its root, or a scope that a hook opened around the rest of it. */
  readonly base: ModelScope
  aborted: boolean
}

/** The whole model. */
export class Model {
  readonly threads: ModelThread[] = []
  /** How many threads were started, for their names. */
  count = 0
  /** Work of `after` whose scope has not settled. It must not have begun. */
  readonly waiting = new Set<string>()
  /** Callbacks of onEnd that must have run, with the values that they must have seen. */
  readonly ran: Array<readonly [name: string, seen: Seen]> = []

  thread (pick: number): ModelThread {
    return this.threads[pick % this.threads.length]!
  }

  begin (scope: ModelScope, owns: boolean, request?: ModelRequest): ModelThread {
    const thread: ModelThread = { name: `t${this.count++}`, scopes: [scope], request, owns }
    this.threads.push(thread)
    return thread
  }

  /** Settles the function of a scope. Returns the threads that start now. */
  finish (scope: ModelScope): ModelThread[] {
    scope.done = true
    for (const name of scope.onEnd.splice(0).reverse()) this.ran.push([name, scope.look()])
    const started = scope.after.splice(0)
    for (const thread of started) {
      this.waiting.delete(thread.name)
      this.threads.push(thread)
    }
    return started
  }
}
