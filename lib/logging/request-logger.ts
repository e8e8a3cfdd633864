import { showAs } from '../common/inspection.ts'
import type { Lifetime } from '../scope/scope.ts'
import { kTie } from '../common/symbols.ts'

/** Which request a logger belongs to. A child of the logger inherits it. */
class Tie {
  readonly logger: object
  /** Node's object for the request, until the scope opens. */
  raw: object | undefined
  lifetime: Lifetime | undefined
  /** Whether another request has the same logger. Then it belongs to none. */
  isShared = false

  constructor (logger: object, raw: object | undefined, lifetime: Lifetime | undefined) {
    this.logger = logger
    this.raw = raw
    this.lifetime = lifetime
  }
}

showAs(Tie.prototype, () => 'Tie {}')

export type { Tie }

/**
 * Ties the logger of a request to it.
 *
 * @param root the logger of the application, which may be what a factory returns for each request
 * @param lifetime the lifetime of the request, if its scope is open
 */
export function tieLogger (logger: object, root: object, raw: object | undefined, lifetime: Lifetime | undefined): void {
  const tie = tieFound(logger)
  if (tie?.logger !== logger) {
    if (raw !== undefined && logger !== root && !isAround(root, logger)) setTie(logger, new Tie(logger, lifetime === undefined ? raw : undefined, lifetime))
  } else if (tie.raw !== raw) tie.isShared = true
  else if (lifetime !== undefined) {
    tie.lifetime = lifetime
    // A logger may be held for longer than its request.
    tie.raw = undefined
  }
}

/** Whether the logger of the application was made from this one. Most loggers of requests are its children: that is quick to see. */
function isAround (root: object, logger: object): boolean {
  return Object.getPrototypeOf(logger) !== root && Object.prototype.isPrototypeOf.call(logger, root)
}

/** The ties of loggers that take no property. Most applications have none. */
let frozen: WeakMap<object, Tie> | undefined

interface Tied { [kTie]?: Tie }

function setTie (logger: Tied, tie: Tie): void {
  if (!Object.isExtensible(logger)) (frozen ??= new WeakMap()).set(logger, tie)
  // Assigning is much faster, and fails below a frozen logger that has a tie.
  else if (logger[kTie] === undefined) logger[kTie] = tie
  else Object.defineProperty(logger, kTie, { value: tie, writable: true, enumerable: true, configurable: true })
}

/** The tie of a logger or, nearest first, of those that it is a child of. */
function tieFound (logger: object): Tie | undefined {
  if (frozen !== undefined) {
    for (let from: object | null = logger; from !== null; from = Object.getPrototypeOf(from) as object | null) {
      const tie = frozen.get(from)
      if (tie !== undefined) return tie
      if (Object.hasOwn(from, kTie)) break
    }
  }
  return (logger as Tied)[kTie]
}

/** The tie of a logger or of the one that it is a child of; `undefined` where no request, or more than one, has it. */
export function tieOf (logger: object): Tie | undefined {
  const tie = tieFound(logger)
  return tie?.isShared === true ? undefined : tie
}
