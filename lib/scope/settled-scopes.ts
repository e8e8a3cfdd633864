/** How many scopes are referenced strongly at most, and how many share one weak reference. */
const GROUP = 16

/** How many weak references are created in a turn at most, because V8 keeps their targets until the end of the turn. */
const MAX_MADE = 256

/** How many weak references may exist before the empty ones are first removed. */
const MAX_REFERENCES = 64

// Read when the module loads, because a test runner may fake the timers later.
const nextTurn = setImmediate

let made = 0
const restart = (): void => { made = 0 }

/**
 * Scopes of a request whose function has settled. A timer or a listener may still keep one of them, so the end of the
 * request must find them. The request must not keep them itself, as there may be millions. The last few are referenced strongly.
 * The others form groups. There is one weak reference per group, and each member references its group. One weak reference per member
 * would make a nested run much slower.
 */
export class SettledScopes<T extends object> {
  private last: T[] = []
  private groups: Array<WeakRef<T[]>> = []
  private limit = MAX_REFERENCES

  /** Adds a scope, and returns the group that it must reference. */
  add (scope: T): object {
    const group = this.last
    if (group.push(scope) === GROUP) this.letGo(group)
    return group
  }

  /** The scopes that something still references. More than 4,096 in one turn are not found. */
  * [Symbol.iterator] (): Generator<T> {
    yield * this.last
    for (const reference of this.groups) yield * reference.deref() ?? []
  }

  private letGo (group: T[]): void {
    this.last = []
    if (made === MAX_MADE) return
    if (made === 0) nextTurn(restart)
    made++
    if (this.groups.push(new WeakRef(group)) < this.limit) return
    this.groups = this.groups.filter((reference) => reference.deref() !== undefined)
    this.limit = MAX_REFERENCES + 2 * this.groups.length
  }
}
