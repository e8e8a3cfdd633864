import type { FastifyInstance } from 'fastify'
import { pinoSymbols } from './pino-seams.ts'
import type { Lifetime } from '../scope/scope.ts'
import { kTie } from '../common/symbols.ts'

/** Which request a logger belongs to. */
export interface Tie {
  /** Node's object for the request, until the scope opens. */
  raw: object | undefined
  lifetime: Lifetime | undefined
  /** Whether another request has the same logger. Then it belongs to none. */
  isShared: boolean
}

type Factory = FastifyInstance['childLoggerFactory']

/** Factories of ours, and those that they call. */
const wrapped = new WeakMap<Factory, Factory>()

/**
 * Ties each logger that Fastify makes for a request to that request: its lines are the request's wherever they are written.
 * The factory that makes these loggers is wrapped, and so is each one that is set later; `childLoggerFactory` still returns
 * what was set.
 *
 * @returns what undoes it, except for the factory itself, which Fastify sets only before the application has started
 */
export function tieRequestLoggers (instance: FastifyInstance): () => void {
  if (pinoSymbols(instance.log) === undefined) return () => {}
  const before = ['setChildLoggerFactory', 'childLoggerFactory'].map((name) => [name, Object.getOwnPropertyDescriptor(instance, name)] as const)
  const setFactory = instance.setChildLoggerFactory
  setFactory.call(instance, tying(instance.childLoggerFactory))
  instance.setChildLoggerFactory = function setChildLoggerFactory (this: FastifyInstance, factory) {
    return setFactory.call(this, typeof factory === 'function' ? tying(factory) : factory)
  }
  const { get } = accessorOf(instance, 'childLoggerFactory')
  Object.defineProperty(instance, 'childLoggerFactory', {
    configurable: true,
    get (this: FastifyInstance) {
      const factory = get.call(this) as Factory
      return wrapped.get(factory) ?? factory
    }
  })
  return () => {
    for (const [name, descriptor] of before) {
      if (descriptor === undefined) Reflect.deleteProperty(instance, name)
      else Object.defineProperty(instance, name, descriptor)
    }
  }
}

/** A property that an object or one of its prototypes reads by a getter. */
function accessorOf (object: object, name: string): { readonly get: () => unknown } {
  let holder = object
  while (!Object.hasOwn(holder, name)) holder = Object.getPrototypeOf(holder) as object
  return Object.getOwnPropertyDescriptor(holder, name) as { readonly get: () => unknown }
}

function tying (factory: Factory): Factory {
  const childLoggerFactory: Factory = function (logger, bindings, options, raw) {
    const made = factory.call(this, logger, bindings, options, raw)
    tieLogger(made, logger, raw, undefined)
    return made
  }
  wrapped.set(childLoggerFactory, factory)
  return childLoggerFactory
}

/**
 * Ties the logger of a request to it.
 *
 * @param root the logger of the application, which may be what a factory returns for each request
 * @param lifetime the lifetime of the request, if its scope is open
 */
export function tieLogger (logger: object, root: object, raw: object | undefined, lifetime: Lifetime | undefined): void {
  const tie = ownTie(logger)
  if (tie === undefined) {
    if (raw !== undefined && logger !== root && !isChild(root, logger)) setTie(logger, { raw: lifetime === undefined ? raw : undefined, lifetime, isShared: false })
  } else if (tie.raw !== raw) tie.isShared = true
  else if (lifetime !== undefined) {
    tie.lifetime = lifetime
    // A logger may be held for longer than its request.
    tie.raw = undefined
  }
}

function isChild (logger: object, of: object): boolean {
  return Object.prototype.isPrototypeOf.call(of, logger)
}

/** The ties of loggers that take no property. Most applications have none. */
let frozen: WeakMap<object, Tie> | undefined

function ownTie (logger: object): Tie | undefined {
  return Object.hasOwn(logger, kTie) ? (logger as Tied)[kTie] : frozen?.get(logger)
}

interface Tied { readonly [kTie]?: Tie }

function setTie (logger: object, tie: Tie): void {
  if (Object.isExtensible(logger)) Object.defineProperty(logger, kTie, { value: tie })
  else (frozen ??= new WeakMap()).set(logger, tie)
}

/** The tie of a logger or of the one that it is a child of; `undefined` where no request, or more than one, has it. */
export function tieOf (logger: object): Tie | undefined {
  let tie = (logger as Tied)[kTie]
  if (tie === undefined && frozen !== undefined) {
    for (let from: object | null = logger; from !== null && tie === undefined; from = Object.getPrototypeOf(from) as object | null) tie = frozen.get(from)
  }
  return tie?.isShared === true ? undefined : tie
}
