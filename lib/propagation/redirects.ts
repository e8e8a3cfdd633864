import type { Store } from '../scope/scope.ts'

/** A call, as undici dispatches it. */
export interface Call {
  readonly store: Store
  readonly origin: string | URL
  readonly path: string
  /** The handler of undici. A redirect or a retry may be dispatched with the same one. */
  readonly handler: object
}

/**
 * Redirect chains that have left the listed origins. A server that is not listed may redirect a call to a listed one, to a URL
 * of its choice. That call is not the application's, so it must not carry values.
 *
 * `fetch` dispatches each step separately, in the same scope, and only the URLs connect the steps. undici's `redirect`
 * dispatches with the same handler, unless there is another interceptor in between.
 */
export class Redirects {
  readonly #handlers = new WeakSet<object>()
  /** The targets of such redirects, by the store of the call. */
  readonly #targets = new WeakMap<Store, Set<string>>()

  /** Whether a server that is not listed redirected a call to this target. */
  includes (call: Call): boolean {
    const targets = this.#targets.get(call.store)
    const isLed = this.#handlers.has(call.handler) || targets?.has(String(urlOf(call))) === true
    // A retry comes with the same handler, possibly after its target was removed.
    if (isLed) this.#handlers.add(call.handler)
    return isLed
  }

  /** Records a response from outside. Its redirect target gets no headers. */
  answered (call: Call, status: number, headers: unknown): void {
    if (!(status >= 300 && status < 400)) return
    // undici gives header names as bytes in two ways.
    const read = locationsIn(headers).flatMap((location) => [location, Buffer.from(location, 'latin1').toString()])
    const led = read.map((location) => targetOf(call, location)).filter((target) => target !== undefined)
    if (led.length === 0) return
    this.#handlers.add(call.handler)
    this.#targets.set(call.store, new Set([...this.#targets.get(call.store) ?? [], ...led]))
  }

  /** A call for which `includes` was true has ended. */
  ended (call: Call): void {
    this.#targets.get(call.store)?.delete(String(urlOf(call)))
  }
}

/** Without a fragment, which is not dispatched, and with the path unchanged: `//name` is not another host. */
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
    // It cannot be followed.
    return undefined
  }
}

/** Only the parts that distinguish dispatched calls. */
function withoutRest (url: URL): URL {
  Object.assign(url, { hash: '', username: '', password: '' })
  // A single question mark.
  if (url.search === '') url.search = ''
  return url
}

/** The values of `location` among headers by name, or in pairs as in undici 6. Of several values, each one and the joined value. */
function locationsIn (headers: unknown): string[] {
  const entries = Array.isArray(headers)
    ? Array.from({ length: headers.length / 2 }, (_, i) => [String(headers[2 * i]), headers[2 * i + 1] as unknown] as const)
    : Object.entries(headers as Record<string, unknown>)
  const values = entries.filter(([name]) => name.toLowerCase() === 'location').flatMap(([, value]) => value)
    .map((value) => Buffer.isBuffer(value) ? value.toString('latin1') : String(value))
  return values.length > 1 ? [...values, values.join(', ')] : values
}
