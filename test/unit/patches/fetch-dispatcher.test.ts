import t from 'tap'
import { fetchDispatcher } from '../../../lib/patches/fetch-dispatcher.ts'
import type { Dispatch, Interceptor } from '../../../lib/propagation/undici-interceptor.ts'
import type { Tap } from '../../support/support.ts'

const symbols = [1, 2].map((version) => Symbol.for(`undici.globalDispatcher.${version}`))
const holder = globalThis as unknown as Record<symbol, unknown>
Reflect.get(globalThis, 'Response')
const before = symbols.map((symbol) => holder[symbol])

interface Dispatcher { readonly dispatch: Dispatch, readonly compose: (interceptor: Interceptor) => Dispatcher }

/** A dispatcher that records the marks of its interceptors. */
function dispatcher (seen: unknown[]): Dispatcher {
  const made = (dispatch: Dispatch): Dispatcher => ({ dispatch, compose: (interceptor) => made(interceptor(dispatch)) })
  return made((options) => { seen.push(options); return true })
}

/** Replaces the dispatchers of Node for one test. */
function replace (t: Tap, ...dispatchers: unknown[]): void {
  for (const [i, symbol] of symbols.entries()) holder[symbol] = dispatchers[i]
  t.teardown(() => { for (const [i, symbol] of symbols.entries()) holder[symbol] = before[i] })
}

const marking = (mark: string): Interceptor => (dispatch) => (options, handler) => dispatch([...options as string[], mark], handler)

function dispatch (): void {
  (holder[symbols[0]!] as Dispatcher).dispatch([], {})
}

t.test('two contexts, closed in any order, leave no interceptor', async (t) => {
  for (const order of [[0, 1], [1, 0]] as const) {
    t.test(`the ${order[0] === 0 ? 'first' : 'second'} closes first`, async (t) => {
      const seen: unknown[] = []
      const [one, two] = [dispatcher(seen), dispatcher([])]
      replace(t, one, two)
      t.ok(fetchDispatcher.available())
      const leave = ['a', 'b'].map((mark) => fetchDispatcher.install(marking(mark)))
      t.not(holder[symbols[1]!], two)
      dispatch()
      t.same(seen.splice(0), [['b', 'a']])
      leave[order[0]]!()
      dispatch()
      t.same(seen.splice(0), [[order[0] === 0 ? 'b' : 'a']])
      leave[order[1]]!()
      leave[order[1]]!()
      t.equal(holder[symbols[0]!], one)
      t.equal(holder[symbols[1]!], two)
    })
  }
})

t.test('a dispatcher that another tool composed further is kept, and our interceptor in it does nothing after its context closes', async (t) => {
  const seen: unknown[] = []
  replace(t, dispatcher(seen), undefined)
  const leave = fetchDispatcher.install(marking('a'))
  const theirs = (holder[symbols[0]!] as Dispatcher).compose(marking('theirs'))
  holder[symbols[0]!] = theirs
  leave()
  t.equal(holder[symbols[0]!], theirs)
  dispatch()
  t.same(seen.splice(0), [['theirs']])

  const leaveAgain = fetchDispatcher.install(marking('b'))
  dispatch()
  t.same(seen.splice(0), [['b', 'theirs']])
  leaveAgain()
  t.equal(holder[symbols[0]!], theirs)
})

t.test('a dispatcher set in the meantime is composed when the next context opens', async (t) => {
  const seen: unknown[] = []
  replace(t, dispatcher([]), undefined)
  const leave = [fetchDispatcher.install(marking('a'))]
  const theirs = holder[symbols[0]!] = dispatcher(seen)
  leave.push(fetchDispatcher.install(marking('b')))
  dispatch()
  t.same(seen, [['b', 'a']])
  for (const each of leave) each()
  t.equal(holder[symbols[0]!], theirs)
})

t.test('a missing dispatcher, and one that cannot be composed, are left unchanged', async (t) => {
  const old = { dispatch () {} }
  replace(t, old, undefined)
  t.notOk(fetchDispatcher.available())
  fetchDispatcher.install(marking('a'))()
  t.same(symbols.map((symbol) => holder[symbol]), [old, undefined])
})
