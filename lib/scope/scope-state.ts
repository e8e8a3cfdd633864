import type { Cache, Memos } from './cache.ts'

/** What can abort the work of a scope. `S` is the type of scopes, which this file must not import. */
export interface Cancellation<S> {
  /** Milliseconds since the epoch. `Infinity` if there is no limit. */
  readonly deadline: number
  /** Created when the signal is first read. */
  controller: AbortController | undefined
  /** The scopes below whose signals are aborted with this one. */
  followers: Set<S> | undefined
  /** Releases the timer and the signals that are followed. */
  release: (() => void) | undefined
}

/** Who impersonates, and why. */
export interface Impersonation {
  /** The real value of each impersonated key: its value outside the outermost impersonation. */
  readonly actors: ReadonlyMap<string, unknown>
  readonly reason: string
}

/** Results that are valid until a value of the scope changes. */
export interface Memoized {
  readonly memos: Memos
  readonly state: readonly unknown[]
}

/** Records in which phase of the request a key was set, and which key was set before it. */
export interface Origin {
  readonly key: string
  phase: string
  readonly before: Origin | undefined
}

/** Data that only some scopes have. It is allocated on first use. */
export interface ScopeState<S> {
  cache: Cache | undefined
  memoized: Memoized | undefined
  cancellation: Cancellation<S> | undefined
  impersonation: Impersonation | undefined
  /** The id of the message that is handled in it. */
  messageId: string | undefined
  /** The source of its first values, if that was an envelope or the copy for detached work. */
  madeBy: 'hydrate' | 'detach' | undefined
  /** The callbacks to run when the scope ends, in the order in which they were added. */
  onEndCallbacks: Array<() => Promise<void>> | undefined
  /** The work to start after the scope has ended. */
  afterTasks: Array<() => void> | undefined
}
