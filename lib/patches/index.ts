import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { warnOnce } from '../common/warnings.ts'
import type { RequestLifetime } from '../lifecycle/request-lifetime.ts'
import type { Interceptor } from '../propagation/undici-interceptor.ts'
import { decorators } from './decorators.ts'
import type { RouteContext } from './fastify-internals.ts'
import { fetchDispatcher } from './fetch-dispatcher.ts'
import { idGenerators } from './id-generators.ts'
import { inject } from './inject.ts'
import { logLines, requestLoggers } from './log-wiring.ts'
import { rawEvents, timeoutSignal } from './node-events.ts'
import { replySend, wrapOwnSend } from './reply-send.ts'
import { notFoundHooks, routeHooks } from './route-hooks.ts'
import { sentStreams } from './streams.ts'
import { websockets } from './websockets.ts'

/** One part of Fastify, Node, pino or undici that is replaced while the plugin is registered. */
export interface Patch<At = never, Rest extends unknown[] = never[]> {
  readonly target: string
  readonly property: string
  /** Why no public API does it, with a link. */
  readonly reason: string
  /** What does not work without it. */
  readonly without: string
  /** Whether it can be replaced. */
  available (at: At): boolean
  /** Returns a function that reverts it; `undefined` if it is already replaced, for parts that requests share. */
  install (at: At, ...rest: Rest): (() => void) | undefined
}

/** Fills a list with functions that revert each patch. */
export type Undo = Array<() => void>

/** The register of everything that we replace. docs/internals.md contains this table. */
export const PATCHES: readonly Patch[] = [
  routeHooks, notFoundHooks, replySend, rawEvents, sentStreams, websockets, timeoutSignal, inject, decorators, idGenerators, fetchDispatcher, logLines, requestLoggers
]

/** A row of the register, with its use in an application. */
export interface PatchState {
  /** What is replaced: the row of docs/internals.md. */
  readonly target: string
  /** The names of the functions or properties. */
  readonly property: string
  /** `replaced`: for the application, or for each request that needs it. `off`: nothing asks for it. `not available`: it cannot be replaced here. */
  readonly state: 'replaced' | 'off' | 'not available'
  /** What does not work while it is not replaced. */
  readonly without: string
}

/**
 * Returns the register with its use. Parts of a request are known only after the first request.
 *
 * @param reenter whether a context of the application re-enters its scopes
 * @param propagates whether one has `propagate`
 */
export function patchStates (reenter: boolean, propagates: boolean): PatchState[] {
  const isUsed = (patch: object): boolean => patch === logLines || patch === requestLoggers || (patch === fetchDispatcher ? propagates : reenter)
  return PATCHES.map((patch) => ({
    target: patch.target,
    property: patch.property,
    state: !isUsed(patch) ? 'off' : warned.has(patch) ? 'not available' : 'replaced',
    without: patch.without
  }))
}

/** The log wiring, which is also installed with `reenter: false`. */
export function patchLoggers (instance: FastifyInstance, isFirst: boolean, undo: Undo): void {
  install(logLines, undo, instance)
  if (isFirst) install(requestLoggers, undo, instance)
}

/** Patches that re-entry installs when the plugin is registered. The first context of an application that re-enters installs them for all. */
export function patchApplication (instance: FastifyInstance, isFirst: boolean, refuses: (method: string, name: string) => boolean, undo: Undo): void {
  install(inject, undo, instance)
  if (!isFirst) return
  install(decorators, undo, instance, refuses)
  install(idGenerators, undo, instance)
  install(replySend, undo, instance)
}

/** Patches that re-entry installs when a request opens its scope: once per route and server, or in the objects of the request. */
export function patchRequest (request: FastifyRequest, reply: FastifyReply, route: RouteContext | undefined, lifetime: RequestLifetime, diagnostics: boolean, undo: Undo): void {
  lifetime.reenters = true
  lifetime.watched = routeHooks.available(route)
  if (routeHooks.available(route)) {
    const revert = routeHooks.install(route, diagnostics)
    if (revert !== undefined) {
      undo.push(revert)
      install(notFoundHooks, undo, route, diagnostics)
    }
  } else warnUnavailable(routeHooks)
  if (rawEvents.available(request)) {
    const revert = rawEvents.install(request, reply)
    if (revert !== undefined) undo.push(revert)
  } else warnUnavailable(rawEvents)
  wrapOwnSend(reply)
  // Without websockets nothing is missing.
  if (request.raw.headers.upgrade !== undefined && websockets.available(request)) install(websockets, undo, request)
}

/** The patch that re-entry installs if the route has a time limit. It is dropped with the request. */
export function patchSignal (signal: AbortSignal, lifetime: RequestLifetime): void {
  install(timeoutSignal, [], signal, lifetime)
}

/** Makes `fetch` use an interceptor, until the returned function is called. */
export function patchFetch (interceptor: Interceptor): () => void {
  if (!fetchDispatcher.available()) warnUnavailable(fetchDispatcher)
  return fetchDispatcher.install(interceptor)
}

function install<At, Rest extends unknown[]> (patch: Patch<At, Rest>, undo: Undo, at: At, ...rest: Rest): void {
  if (!patch.available(at)) return warnUnavailable(patch)
  const revert = patch.install(at, ...rest)
  if (revert !== undefined) undo.push(revert)
}

/** The patches that were warned about. */
const warned = new WeakSet<object>()

function warnUnavailable (patch: Pick<Patch, 'target' | 'property' | 'without'>): void {
  if (warned.has(patch)) return
  warned.add(patch)
  const { target, property, without } = patch
  warnOnce('FST_CTX_NOT_REPLACED', target, `${property} of ${target} cannot be replaced here, so this does not hold: ${without}. Required keys are still checked. Update fastify-ctx, or register it with reenter: false; docs/internals.md explains both`)
}
