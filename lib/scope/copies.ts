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
    const wayOut = withoutScheme(first) === withoutScheme(place) ? 'let one loader load it (with Vitest, remove it from server.deps.inline)' : 'install one version, and keep fastify-ctx out of the bundle of a library'
    warnOnce('FST_CTX_SECOND_COPY', place, `fastify-ctx is loaded twice, from ${first} and from ${place}. The ctx of one copy does not see the scopes of the other: ${wayOut}`)
  }
  copies.add(place)
}

/** Node.js loads ES modules by URL. Vitest evaluates the modules that it inlines by path. */
const withoutScheme = (place: string): string => place.replace(/^file:\/\/(?:\/(?=[A-Za-z]:))?/, '')

/** The CommonJS modules that Node.js has loaded. An imported `createRequire` does not do: webpack replaces calls of it, by `undefined` here. */
const loadedModules = (): NodeJS.Require['cache'] => process.getBuiltinModule('node:module').createRequire(join(process.cwd(), 'index.js')).cache

/**
 * Warns if another copy of `@fastify/request-context` is loaded, whose `requestContext` never has a value. Node.js lists
 * the CommonJS modules that are loaded; a copy within a bundle is not among them.
 */
export function checkRequestContext (cache: NodeJS.Require['cache'] = loadedModules()): void {
  const copies = Object.keys(cache).filter((path) => REQUEST_CONTEXT.test(path)).map((path) => ({ path, storage: storageOf(cache[path]) }))
  const own = copies.find(({ storage }) => storage === asyncLocalStorage)?.path ?? 'a bundle'
  for (const { path, storage } of copies) {
    if (storage === undefined || storage === asyncLocalStorage) continue
    warnOnce('FST_CTX_SECOND_REQUEST_CONTEXT', path, `@fastify/request-context is loaded twice, from ${path} and from ${own}. fastify-ctx uses the second, so requestContext of the first has no values: install @fastify/request-context 7, so that there is one copy`)
  }
}

/** What `@fastify/request-context` exports, or nothing while it loads. */
function storageOf (module: NodeJS.Module | undefined): unknown {
  return (module?.exports as { readonly asyncLocalStorage?: unknown } | undefined)?.asyncLocalStorage
}
