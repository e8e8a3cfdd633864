import { FST_CTX_INVALID_ARGUMENT } from '../common/errors.ts'
import { bound, enter } from './storage.ts'
import type { Store } from './scope.ts'

/** The type that `ctx.bindIterable` returns for an argument. */
export type BoundIterable<I> =
  I extends AsyncGenerator<infer T, infer R, infer N> ? AsyncGenerator<T, R, N>
    : I extends Generator<infer T, infer R, infer N> ? Generator<T, R, N>
      : AsyncPart<I> & SyncPart<I>

type AsyncPart<I> = I extends AsyncIterable<infer T> ? AsyncIterable<T> : unknown
type SyncPart<I> = I extends Iterable<infer T> ? Iterable<T> : unknown

type Members = Record<string | symbol, ((...args: any[]) => unknown) | undefined>

const SYMBOLS = [Symbol.iterator, Symbol.asyncIterator] as const
const METHODS = ['next', 'return', 'throw'] as const

/** The prototypes of built-in iterators, with helpers such as `map`, and disposal. */
const IteratorPrototype = Object.getPrototypeOf(Object.getPrototypeOf([].values())) as object
const AsyncIteratorPrototype = Object.getPrototypeOf(Object.getPrototypeOf(async function * () {}.prototype)) as object

/**
 * Returns an iterable with the items of another one. The `next`, `return` and `throw` of its iterators always run in one store.
 *
 * @throws FST_CTX_INVALID_ARGUMENT
 */
export function iterableInStore<I> (store: Store | undefined, iterable: I): BoundIterable<I> {
  const target = iterable as Members | undefined | null
  if (!SYMBOLS.some((symbol) => typeof target?.[symbol] === 'function')) {
    throw new FST_CTX_INVALID_ARGUMENT('ctx.bindIterable', 'an iterable or an async iterable: of a generator function, what it returns')
  }
  return membersInStore(store, target as Members, typeof target![Symbol.asyncIterator] === 'function') as BoundIterable<I>
}

function membersInStore (store: Store | undefined, target: Members, isAsync: boolean): object {
  const isIterator = typeof target.next === 'function'
  const members = Object.create(!isIterator ? Object.prototype : isAsync ? AsyncIteratorPrototype : IteratorPrototype) as object
  for (const symbol of SYMBOLS) {
    const open = target[symbol]
    if (typeof open !== 'function') continue
    define(members, symbol, () => {
      const iterator = enter(store, () => open.call(target))
      // An iterator that is its own iterable, like every generator, stays one.
      return iterator === target ? members : membersInStore(store, iterator as Members, symbol === Symbol.asyncIterator)
    })
  }
  if (isIterator) {
    for (const name of METHODS) {
      const method = target[name]
      if (typeof method === 'function') define(members, name, bound(store, method.bind(target)))
    }
  }
  return members
}

function define (members: object, name: string | symbol, value: unknown): void {
  Object.defineProperty(members, name, { value, enumerable: false, writable: true, configurable: true })
}
