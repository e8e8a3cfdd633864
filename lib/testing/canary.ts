import { randomUUID } from 'node:crypto'

const UUID = /[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}/gi

/** Base64 of either alphabet that is long enough to contain a canary: tokens and cookies. */
const BASE64 = /[\w-]{48,}|[A-Za-z\d+/]{48,}/g

/** A mark of one request: a random UUID, which nobody can guess, most schemas accept, and no other canary contains. */
export function makeCanary (): string {
  return randomUUID()
}

/** The canaries of one run, and their owners. */
export class Canaries<T> {
  readonly #owners = new Map<string, T>()

  /** Registers the owner of a canary. */
  give (canary: string, owner: T): void {
    this.#owners.set(canary, owner)
  }

  /** The owners of the canaries in a text, in any case, plain or in base64. */
  ownersIn (text: string): Set<T> {
    const owners = new Set<T>()
    this.#collect(text, owners)
    for (const [encoded] of text.matchAll(BASE64)) this.#collect(Buffer.from(encoded, 'base64').toString('latin1'), owners)
    return owners
  }

  /** A text with each canary replaced by `name(owner)`. */
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
