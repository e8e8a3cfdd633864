import { LruMap } from 'toad-cache'

/** Keeps values by key, like a Map. */
export interface Entries {
  get (key: unknown): unknown
  set (key: unknown, value: unknown): unknown
  has (key: unknown): boolean
  delete (key: unknown): boolean
  clear (): void
}

/** A Map of at most `max` entries. When it is full, the least recently used entry makes room for a new one. */
export class BoundedMap implements Entries {
  // In an array, because `undefined` is a value, too.
  readonly #entries: LruMap<[unknown]>
  readonly #onForget: ((value: unknown) => void) | undefined

  /** @param onForget called with the value of an entry that makes room for another */
  constructor (max: number, onForget?: (value: unknown) => void) {
    this.#entries = new LruMap(max)
    this.#onForget = onForget
  }

  get (key: unknown): unknown {
    return this.#entries.get(key)?.[0]
  }

  set (key: unknown, value: unknown): void {
    const entries = this.#entries
    if (entries.size === entries.max && entries.get(key) === undefined) {
      const { value: [oldest] } = entries.first as { readonly value: [unknown] }
      entries.evict()
      this.#onForget?.(oldest)
    }
    entries.set(key, [value])
  }

  has (key: unknown): boolean {
    return this.#entries.items.has(key)
  }

  delete (key: unknown): boolean {
    const had = this.has(key)
    this.#entries.delete(key)
    return had
  }

  clear (): void {
    this.#entries.clear()
  }
}
