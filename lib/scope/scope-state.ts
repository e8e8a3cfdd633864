import type { Cache, Memos } from './cache.ts'

/** What cuts the work of a scope short. `S` is the type of scopes, which this file must not import. */
export interface Cancellation<S> {
  /** Milliseconds since the epoch; `Infinity` where there is no limit. */
  readonly deadline: number
  /** Made when the signal is first asked for. */
  controller: AbortController | undefined
  /** The scopes below whose signals are aborted with this one. */
  followers: Set<S> | undefined
  /** Lets go of the timer and of the signals that are followed. */
  release: (() => void) | undefined
}

/** Who acts, and why, where values are impersonated. */
export interface Impersonation {
  /** The real value of each impersonated key: that outside the outermost impersonation of it. */
  readonly actors: ReadonlyMap<string, unknown>
  readonly reason: string
}

/** Results that hold as long as no value of the scope is another. */
export interface Memoized {
  readonly memos: Memos
  readonly state: readonly unknown[]
}

/** That a key was set, in which phase of the request, and what was set before it. */
export interface Origin {
  readonly key: string
  phase: string
  readonly before: Origin | undefined
}

/** What only some scopes have: nothing of it is allocated for those that do not use it. */
export interface ScopeState<S> {
  cache: Cache | undefined
  memoized: Memoized | undefined
  cancellation: Cancellation<S> | undefined
  impersonation: Impersonation | undefined
  /** The id of the message that is handled in it. */
  messageId: string | undefined
  /** What its first values came from, where that was an envelope, or the copy for detached work. */
  madeBy: 'hydrate' | 'detach' | undefined
  /** What runs when the scope ends, in the order it was given. */
  onEndCallbacks: Array<() => Promise<void>> | undefined
  /** What starts once it has ended. */
  afterTasks: Array<() => void> | undefined
}
