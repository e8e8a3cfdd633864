import { createRequire } from 'node:module'
import { join } from 'node:path'
import { asyncLocalStorage } from '@fastify/request-context'
import { kCopies } from '../common/symbols.ts'
import { warnOnce } from '../common/warnings.ts'

/** A frame of a stack: the file, without a query that a loader appends, and the position. */
const FRAME = /^ {4}at (?:.*\()?(.+?)(?:\?[^:]*)?:\d+:\d+\)?$/m

/** A module of `@fastify/request-context` in the module cache of Node.js. */
const REQUEST_CONTEXT = /[\\/]@fastify[\\/]request-context[\\/]index\.js$/

/**
 * Notes the file that loads this package, and warns if another file has loaded it before. The same file again is not a
 * second copy: test runners reset their modules. Each vm context has its own global object, and so its own registry.
 *
 * @param stack of an error made where the package loads. A bundle has no other way to know its file.
 */
export function registerCopy (stack: string | undefined, holder: { [kCopies]?: Set<string> } = globalThis as object): void {
  const place = FRAME.exec(stack ?? '')?.[1]
  if (place === undefined) return
  if (holder[kCopies] === undefined) Object.defineProperty(holder, kCopies, { value: new Set() })
  const copies = holder[kCopies]!
  const [first] = copies
  if (first !== undefined && !copies.has(place)) {
    warnOnce('FST_CTX_SECOND_COPY', place, `fastify-ctx is loaded twice, from ${first} and from ${place}. The ctx of one copy does not see the scopes of the other: install one version, and keep fastify-ctx out of the bundle of a library`)
  }
  copies.add(place)
}

/**
 * Warns if another copy of `@fastify/request-context` is loaded, whose `requestContext` never has a value. Node.js lists
 * the CommonJS modules that are loaded; a copy within a bundle is not among them.
 */
export function checkRequestContext (cache: NodeJS.Require['cache'] = createRequire(join(process.cwd(), 'index.js')).cache): void {
  for (const [path, module] of Object.entries(cache)) {
    if (!REQUEST_CONTEXT.test(path)) continue
    const { asyncLocalStorage: other } = (module?.exports ?? {}) as { readonly asyncLocalStorage?: unknown }
    if (other === undefined || other === asyncLocalStorage) continue
    warnOnce('FST_CTX_SECOND_REQUEST_CONTEXT', path, `another copy of @fastify/request-context is loaded, from ${path}, and its requestContext has none of the values of fastify-ctx: install @fastify/request-context 7, so that both use one copy`)
  }
}
