/** How many scopes are referenced strongly at most, and how many share one weak reference. */
const GROUP = 16

/** How many groups are kept. The scavenger of V8 treats weak references as strong, so it copies all of their scopes to the old space. */
const MAX_GROUPS = 64

/** How many weak references are created in a turn at most, because V8 keeps their targets until the end of the turn. */
const MAX_MADE = 256

// Read when the module loads, because a test runner may fake the timers later.
const nextTurn = setImmediate

let made = 0
const restart = (): void => { made = 0 }

/**
 * The last 1,024 scopes of a request whose function has settled. A timer or a listener may still keep one of them, so the end of the
 * request must find them. The request must not keep them itself, because a connection may live for days. The last few are referenced
 * strongly. The others form groups. There is one weak reference per group, and each member references its group. One weak reference
 * per member would make a nested run much slower, and so would groups without a limit.
 */
export class SettledScopes<T extends object> {
  private last: T[] = []
  private readonly groups: Array<WeakRef<T[]>> = []
  /** The place of the next group, which replaces the oldest one. */
  private next = 0

  /** Adds a scope, and returns the group that it must reference. */
  add (scope: T): object {
    const group = this.last
    if (group.push(scope) === GROUP) this.letGo(group)
    return group
  }

  /** Those of the last 1,024 scopes that something still references. More than 4,096 in one turn are not found. */
  * [Symbol.iterator] (): Generator<T> {
    yield * this.last
    for (const reference of this.groups) yield * reference.deref() ?? []
  }

  private letGo (group: T[]): void {
    this.last = []
    if (made === MAX_MADE) return
    if (made === 0) nextTurn(restart)
    made++
    this.groups[this.next] = new WeakRef(group)
    this.next = (this.next + 1) % MAX_GROUPS
  }
}
