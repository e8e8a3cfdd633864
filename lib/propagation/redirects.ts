import type { Store } from '../scope/scope.ts'

/** A call, as undici dispatches it. */
export interface Call {
  readonly store: Store
  readonly origin: string | URL
  readonly path: string
  /** What undici reports to. A redirect or a further try may be dispatched with the same one. */
  readonly handler: object
}

/**
 * The chains of redirects that have left the listed origins. A server that is not listed may lead a call to one that is, at a URL
 * of its choice: that call is not the application's, and says nothing of whose it is.
 *
 * `fetch` dispatches each step on its own, in the same scope, and nothing connects the steps but their URLs. undici's `redirect`
 * dispatches with the same handler, unless another interceptor stands between.
 */
export class Redirects {
  readonly #handlers = new WeakSet<object>()
  /** By the store of a call, where it was led to. */
  readonly #targets = new WeakMap<Store, Set<string>>()

  /** Whether a call is one that a server which is not listed led to. */
  includes (call: Call): boolean {
    const targets = this.#targets.get(call.store)
    const isLed = this.#handlers.has(call.handler) || targets?.has(String(urlOf(call))) === true
    // A further try of it comes with the same handler, when its target may be forgotten.
    if (isLed) this.#handlers.add(call.handler)
    return isLed
  }

  /** An answer came from outside: a redirect leads to where nothing is added. */
  answered (call: Call, status: number, headers: unknown): void {
    if (!(status >= 300 && status < 400)) return
    // With the bytes of a name read in either way that undici has.
    const read = locationsIn(headers).flatMap((location) => [location, Buffer.from(location, 'latin1').toString()])
    const led = read.map((location) => targetOf(call, location)).filter((target) => target !== undefined)
    if (led.length === 0) return
    this.#handlers.add(call.handler)
    this.#targets.set(call.store, new Set([...this.#targets.get(call.store) ?? [], ...led]))
  }

  /** A call that `includes` named is over. */
  ended (call: Call): void {
    this.#targets.get(call.store)?.delete(String(urlOf(call)))
  }
}

/** Without a fragment, which is not dispatched; with the path as it stands: `//name` is no other host. */
function urlOf ({ origin, path }: Call): URL | undefined {
  try {
    return withoutRest(new URL(`${new URL(origin).origin}${path}`))
  } catch {
    // undici refuses it.
    return undefined
  }
}

function targetOf (call: Call, location: string): string | undefined {
  try {
    return withoutRest(new URL(location, urlOf(call))).href
  } catch {
    // Nobody can follow it.
    return undefined
  }
}

/** Nothing but what a dispatch tells apart. */
function withoutRest (url: URL): URL {
  Object.assign(url, { hash: '', username: '', password: '' })
  // A question mark alone.
  if (url.search === '') url.search = ''
  return url
}

/** The values of `location` among headers by name, or in turn as undici 6 has them; of several, each, and all as one. */
function locationsIn (headers: unknown): string[] {
  const entries = Array.isArray(headers)
    ? Array.from({ length: headers.length / 2 }, (_, i) => [String(headers[2 * i]), headers[2 * i + 1] as unknown] as const)
    : Object.entries(headers as Record<string, unknown>)
  const values = entries.filter(([name]) => name.toLowerCase() === 'location').flatMap(([, value]) => value)
    .map((value) => Buffer.isBuffer(value) ? value.toString('latin1') : String(value))
  return values.length > 1 ? [...values, values.join(', ')] : values
}
