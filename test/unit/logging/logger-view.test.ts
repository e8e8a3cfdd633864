import { pino } from 'pino'
import t from 'tap'
import { errorOf, filtered, isEmpty, isReserved, says, swap, viewOf, withoutFields, withoutNames } from '../../../lib/logging/logger-view.ts'
import { formattersOf, pinoSymbols, type PinoLogger } from '../../../lib/logging/pino-seams.ts'

t.test('viewOf accepts a frozen logger', async (t) => {
  const logger = Object.freeze(pino({ base: { a: 1 } }, { write () {} }).child({})) as unknown as PinoLogger
  const symbols = pinoSymbols(logger)!
  const view = viewOf(logger, ',"b":2', {}, symbols)
  t.equal(view[symbols.bindings], ',"b":2')
  t.equal(logger[symbols.bindings], ',"a":1')
  t.equal(formattersOf(view), formattersOf(logger))
})

t.test('filtered filters only if a formatter could add a field next to ours', async (t) => {
  const log = (object: object): object => ({ ...object, tenant: 'formatted', more: 1 })
  const loggerOf = (options: object): PinoLogger => pino(options, { write () {} }) as unknown as PinoLogger
  const of = (options: object, added: Record<string, unknown>) => filtered(loggerOf(options), added, pinoSymbols(loggerOf(options))!)
  t.equal(of({}, { tenant: 'acme' }), undefined)
  t.equal(of({ formatters: { log }, nestedKey: 'nested' }, { tenant: 'acme' }), undefined)
  t.same(of({ formatters: { log } }, { tenant: 'acme' })!.log!({ a: 1 }), { a: 1, more: 1 })
  t.same(of({ formatters: { log } }, { user: 'ada' })!.log!({ a: 1 }), { a: 1, tenant: 'formatted', more: 1 })
  t.equal(of({ formatters: { log: () => undefined } }, { user: 'ada' })!.log!({}), undefined)
})

t.test('swap restores own properties and deletes the others', async (t) => {
  const [kOwn, kInherited] = [Symbol('own'), Symbol('inherited')]
  const logger = Object.create({ [kInherited]: 1 }, { [kOwn]: { value: 1, writable: true, configurable: true } }) as PinoLogger
  const undo = [swap(logger, kOwn, 2), swap(logger, kInherited, 2)]
  t.same([logger[kOwn], logger[kInherited]], [2, 2])
  for (const back of undo) back()
  t.same([logger[kOwn], logger[kInherited]], [1, 1])
  t.same(Reflect.ownKeys(logger), [kOwn])
})

t.test('says reports own fields that pino would write', async (t) => {
  t.ok(says({ a: null }, 'a'))
  t.notOk(says({ a: undefined }, 'a'))
  t.notOk(says(Object.create({ a: 1 }) as object, 'a'))
  t.notOk(says(Object.defineProperty({}, 'a', { value: 1 }), 'a'), 'pino does not write non-enumerable properties')
})

t.test('says and errorOf call no getter', async (t) => {
  const lazy = { get a () { throw new Error('called') }, get err () { throw new Error('called') } }
  t.ok(says(lazy, 'a'))
  t.equal(errorOf(lazy), undefined)
  t.equal(errorOf(lazy, 'a'), undefined)
  t.equal(errorOf(Object.create({ err: new Error('inherited') }) as object), undefined, 'pino writes no inherited property')
})

t.test('isReserved: the request id under its label, and the impersonation field', async (t) => {
  t.same(['rid', 'actor', 'reason', 'reqId', 'tenant'].map((name) => isReserved(name, 'rid')), [true, true, true, false, false])
})

t.test('withoutFields and withoutNames return the same object if nothing is removed, and keep getters and prototype', async (t) => {
  class Order { readonly a = 1; readonly b = 2 }
  const order = new Order()
  t.equal(withoutNames(order, []), order)
  t.ok(withoutNames(order, ['a']) instanceof Order)
  t.same({ ...withoutNames(order, ['a']) }, { b: 2 })
  let calls = 0
  const lazy = withoutNames({ a: 1, get b () { return ++calls } }, ['a'])
  t.equal(calls, 0)
  t.equal(lazy.b, 1)
  t.equal(withoutFields(undefined, { a: 1 }), undefined)
  t.equal(withoutFields(order, { c: 1, a: undefined }), order)
  t.same({ ...withoutFields(order, { a: 1 }) }, { b: 2 })
})

t.test('isEmpty sees every property that pino could write, and takes an inherited one for one', async (t) => {
  for (const object of [{}, Object.create(null) as object, Object.defineProperty({}, 'hidden', { value: 1 }), []]) t.equal(isEmpty(object), true)
  for (const object of [{ a: undefined }, { get a () { throw new Error('read') } }, Object.create({ a: 1 }) as object, ['a']]) t.equal(isEmpty(object), false)
})

t.test('errorOf finds errors in the places where Fastify and pino put them', async (t) => {
  const error = new Error('broken')
  for (const object of [{ err: error }, { failure: error }]) t.equal(errorOf(object, 'failure'), error)
  t.equal(errorOf({ err: error }), error)
  t.equal(errorOf({}), undefined)
  t.equal(errorOf(undefined), undefined)
})
