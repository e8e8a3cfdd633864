import { randomUUID } from 'node:crypto'

const UUID = /[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}/gi

/** Base64 of either alphabet, long enough to hold a canary: tokens and cookies. */
const BASE64 = /[\w-]{48,}|[A-Za-z\d+/]{48,}/g

/** A mark of one request: a random UUID, which nobody can guess, most schemas take, and which is no part of another. */
export function makeCanary (): string {
  return randomUUID()
}

/** The canaries of one run, and whose they are. */
export class Canaries<T> {
  readonly #owners = new Map<string, T>()

  /** Says whose a canary is. */
  give (canary: string, owner: T): void {
    this.#owners.set(canary, owner)
  }

  /** Whose canaries are in a text, in whatever case, as they are or within base64. */
  ownersIn (text: string): Set<T> {
    const owners = new Set<T>()
    this.#collect(text, owners)
    for (const [encoded] of text.matchAll(BASE64)) this.#collect(Buffer.from(encoded, 'base64').toString('latin1'), owners)
    return owners
  }

  /** A text with each canary replaced by what `name` calls its owner. */
  replaceIn (text: string, name: (owner: T) => string): string {
    return text.replace(UUID, (found) => {
      const owner = this.#owners.get(found.toLowerCase())
      return owner === undefined ? found : name(owner)
    })
  }

  #collect (text: string, owners: Set<T>): void {
    for (const [found] of text.matchAll(UUID)) {
      const owner = this.#owners.get(found.toLowerCase())
      if (owner !== undefined) owners.add(owner)
    }
  }
}
