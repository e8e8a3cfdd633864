import { isDeepStrictEqual } from 'node:util'
import vm from 'node:vm'
import fc from 'fast-check'
import { pino } from 'pino'
import t from 'tap'
import { createContext, key, type Packing } from '../../../lib/index.ts'
import { gate, Lines, turns, warnings } from '../../support/support.ts'

const ctx = createContext({ value: key<unknown>({ carry: true }), other: key<unknown>({ carry: true }), token: key<string>(), off: key<string>({ carry: false }) })

/** The values and the actor in an envelope. */
function held (envelope: string): { readonly values: unknown, readonly actor?: unknown } {
  const { values, actor } = JSON.parse(envelope) as { values: unknown, actor?: unknown }
  return { values, actor }
}

function nested (depth: number): unknown {
  return depth === 0 ? 'core' : depth % 2 === 0 ? { a: nested(depth - 1) } : [nested(depth - 1)]
}

t.test('only keys with carry and a value are carried, from any enclosing scope', async (t) => {
  ctx.run({ value: 1, token: 's3cret', off: 'no' }, () => {
    t.same(held(ctx.dehydrate()), { values: { value: 1 }, actor: undefined })
    ctx.run({ other: 2 }, () => { t.same(held(ctx.dehydrate()).values, { value: 1, other: 2 }) })
    ctx.run({ value: undefined }, () => { t.same(held(ctx.dehydrate()).values, {}) })
    t.notMatch(ctx.dehydrate(), 's3cret')
  })
})

t.test('any JSON value survives a round trip', async (t) => {
  await fc.assert(fc.asyncProperty(fc.jsonValue({ maxDepth: 4 }), fc.string({ unit: 'binary' }), async (value, other) => {
    const plain = JSON.parse(JSON.stringify(value)) as unknown
    // A name that reaches a prototype is not carried. The next test covers it.
    if (/"(?:__proto__|constructor)":/.test(JSON.stringify(value)) || JSON.stringify([value, other]).length > 2000) return
    const envelope = ctx.run({ value: plain, other }, () => ctx.dehydrate())
    await ctx.hydrate(envelope, () => {
      if (!isDeepStrictEqual([ctx.get('value'), ctx.get('other')], [plain, other])) throw new Error(envelope)
    })
  }), { numRuns: 200, seed: 1 })
  t.pass('no counterexample')
})

/** Values that are not JSON, and whose class name was set to a secret at run time, in each place where it can be read. */
function calledSecret (): object[] {
  const named = { name: 's3cret' }
  class Named { static readonly name = 's3cret value' }
  return [
    Object.assign(new Map(), { constructor: named }), Object.create(Object.create({ constructor: named }) as object) as object, Object.create({ constructor: named }) as object,
    Object.assign(new Date(), { constructor: () => {} }), new Named(), Object.assign(Object.create(Object.create(null) as object) as object, { constructor: named, [Symbol.toStringTag]: 's3cret' })
  ]
}

t.test('an error names the class of a value that is not JSON, but only by a name written in code', async (t) => {
  class Money { readonly amount = 7 }
  for (const [value, name] of [[new Date(), 'Date'], [new Map(), 'Map'], [new Money(), 'Money'], [new (class {})(), 'instance of a class'], [Object.create(new Money()), 'instance of a class'], [Object.setPrototypeOf([1], null), 'instance of a class']] as const) {
    ctx.run({ value }, () => { t.throws(() => ctx.dehydrate(), { message: `'value' cannot be carried: JSON cannot represent ${name}.` }) })
  }
})

t.test('carry: true refuses values that JSON would change, and the error has the key and never the value', async (t) => {
  class Money { readonly amount = 7 }
  const circle: { self?: unknown } = {}
  circle.self = circle
  for (const value of [
    new Date(), new Map(), new Set(), new Money(), /s3cret/, new Error('s3cret'), Buffer.from('s3cret'), new Uint8Array(1), new URL('https://s3cret.example'), Promise.resolve(),
    Object(1), Object('s3cret'), -0, { a: [-0] }, NaN, Infinity, -Infinity, 1n, Symbol('s3cret'), () => 's3cret', Money, circle, [circle], nested(30),
    { a: [{ b: new Date() }] }, { a: undefined, b: NaN }, [undefined], [, 1], [() => {}], // eslint-disable-line no-sparse-arrays -- the test covers that JSON keeps no hole
    { toJSON: () => 's3cret' }, Object.assign([1], { toJSON: () => 's3cret' }), 'a'.match(/a/), new (class List extends Array {})(), Object.create(new Money()),
    Object.create(Object.create(Object.create(null) as object) as object), JSON.parse('{"__proto__":1}'), { constructor: 1 }, [{ a: { constructor: 1 } }],
    ...calledSecret()
  ]) {
    ctx.run({ value }, () => {
      t.throws(() => ctx.dehydrate(), { code: 'FST_CTX_NOT_CARRIABLE', message: /^'value' cannot be carried: / })
      try { ctx.dehydrate() } catch (error) { t.notMatch((error as Error).message, 's3cret') }
    })
  }
})

t.test('a value with a throwing getter, or a throwing Proxy, is refused with its key, and the cause is what was thrown', async (t) => {
  const cause = new Error('s3cret')
  const fail = (): never => { throw cause }
  for (const value of [Object.defineProperty({}, 'a', { get: fail, enumerable: true }), Object.defineProperty({}, 'toJSON', { get: fail }), new Proxy({}, { getPrototypeOf: fail }), new Proxy([], { ownKeys: fail })]) {
    ctx.run({ value }, () => { t.throws(() => ctx.dehydrate(), { code: 'FST_CTX_NOT_CARRIABLE', message: "'value' cannot be carried: reading it threw.", cause }) })
  }
})

t.test('carry: true accepts plain objects and arrays of any realm, up to a depth of 29', async (t) => {
  for (const [value, as] of [
    [Object.assign(Object.create(null) as object, { a: 1 }), { a: 1 }], [vm.runInNewContext('({ a: [1, { b: null }] })'), { a: [1, { b: null }] }],
    [{ a: undefined, b: 1 }, { b: 1 }], [nested(29), nested(29)], [null, null], ['', ''], [0, 0], [false, false], [[], []], [{ toJSON: 1 }, { toJSON: 1 }], ['\ud800', '\ud800']
  ]) {
    const envelope = ctx.run({ value }, () => ctx.dehydrate())
    t.strictSame((held(envelope).values as { value: unknown }).value, as)
    await ctx.hydrate(envelope, () => { t.strictSame(ctx.get('value'), as) })
  }
  const impersonated = ctx.run({ value: nested(29) }, () => ctx.impersonate({ value: nested(29) }, { reason: 'r' }, () => ctx.dehydrate()))
  await ctx.hydrate(impersonated, () => { t.strictSame([ctx.get('value'), ctx.actor('value')], [nested(29), nested(29)]) })
})

/** A context with one key, which packs its value. */
function packed<T> (packing: Packing<T>) {
  return createContext({ before: key<string>({ carry: true }), value: key<T>({ carry: packing }), next: key<string>({ carry: true }) })
}

t.test('pack and unpack convert the value in both directions; undefined is not carried, null is', async (t) => {
  const dates = packed<Date>({ pack: (date) => date.getTime(), unpack: async (time: number) => new Date(time) })
  const envelope = dates.run({ value: new Date(7) }, () => dates.dehydrate())
  t.same(held(envelope).values, { value: 7 })
  await dates.hydrate(envelope, () => { t.same(dates.get('value'), new Date(7)) })

  const none = packed<string>({ pack: () => undefined, unpack: () => 'never' })
  const empty = none.run({ value: 'x', next: 'y' }, () => none.dehydrate())
  t.same(held(empty).values, { next: 'y' })
  await none.hydrate(empty, () => { t.same([none.get('value'), none.get('next')], [undefined, 'y']) })
  none.run({ value: 'x', next: 'y'.repeat(9000) }, () => { t.throws(() => none.dehydrate(), { code: 'FST_CTX_ENVELOPE_TOO_LARGE', message: /Largest keys: 'next' \(9002 bytes\)\./ }) })

  const nulls = packed<string>({ pack: () => null, unpack: (given: unknown) => String(given) })
  await nulls.hydrate(nulls.run({ value: 'x' }, () => nulls.dehydrate()), () => { t.equal(nulls.get('value'), 'null') })

  const gone = packed<string>({ pack: (id) => id, unpack: async () => undefined })
  await gone.hydrate(gone.run({ value: 'deleted' }, () => gone.dehydrate()), () => { t.equal(gone.has('value'), false) })
})

t.test('a pack that throws, or returns a value that JSON would change, is refused with its key', async (t) => {
  const cause = new Error('no id')
  const thrown = packed<string>({ pack: () => { throw cause }, unpack: () => 'x' })
  thrown.run({ value: 'x' }, () => { t.throws(() => thrown.dehydrate(), { code: 'FST_CTX_NOT_CARRIABLE', message: /^'value'/, cause }) })
  for (const made of [new Date(), Promise.resolve('x'), NaN, () => {}]) {
    const odd = packed<string>({ pack: () => made, unpack: () => 'x' })
    odd.run({ value: 'x' }, () => { t.throws(() => odd.dehydrate(), { code: 'FST_CTX_NOT_CARRIABLE', message: /^'value'/ }) })
  }
})

t.test('if unpack throws or rejects with anything, the work does not start', async (t) => {
  const envelope = ctx.run({ value: 's3cret' }, () => ctx.dehydrate())
  for (const cause of [new Error('database gone'), undefined, 'text']) {
    for (const unpack of [() => { throw cause }, async () => { throw cause }, () => ({ then (_: unknown, reject: (error: unknown) => void) { reject(cause) } }) as never]) {
      const failing = packed<string>({ pack: (value) => value, unpack })
      let begun = false
      const error = await failing.hydrate(envelope, () => { begun = true }).then(() => t.fail('rejects'), (error: Error) => error) as Error & { code: string }
      t.match(error, { code: 'FST_CTX_UNPACK_FAILED', message: /'value'/ })
      t.equal(error.cause, cause)
      t.notMatch(error.message, 's3cret')
      t.equal(begun, false)
    }
  }
})

t.test('keys are unpacked in declaration order, in the scope, after the earlier ones', async (t) => {
  const [entered, opened] = [gate(), gate()]
  const order: unknown[] = []
  const look = (name: string) => (given: string): string => {
    order.push([name, given, own.get('requestId'), own.get('tenant'), own.get('user')])
    return `${name} ${given}`
  }
  const own = createContext({
    tenant: key<string>({ carry: { pack: (value) => value, unpack: async (given: string) => { entered.open(); await opened.promise; return look('tenant')(given) } } }),
    user: key<string>({ carry: { pack: (value) => value, unpack: look('user') } }),
    last: key<string>({ carry: { pack: (value) => value, unpack: look('last') } })
  })
  const working = own.hydrate('{"v":1,"requestId":"r-1","values":{"last":"z","user":"ada","tenant":"acme"}}', () => { order.push('work') })
  await entered.promise
  await turns()
  t.same(order, [], 'none of them is skipped')
  opened.open()
  await working
  t.same(order, [['tenant', 'acme', 'r-1', undefined, undefined], ['user', 'ada', 'r-1', 'tenant acme', undefined], ['last', 'z', 'r-1', 'tenant acme', 'user ada'], 'work'])
})

t.test('values of older and newer keys are left out, with a warning that repeats only names that look safe', async (t) => {
  const told = warnings(t, 'FST_CTX_ENVELOPE_KEY')
  const values = { value: 'kept', removed: 's3cret', token: 's3cret', off: 's3cret', requestId: 's3cret', 'line\nbreak s3cret': 1, ['long'.repeat(20)]: 1, '': 1, toString: 1, hasOwnProperty: 1 }
  const envelope = JSON.stringify({ v: 1, requestId: 'r-1', values, actor: { reason: 'r', values: { value: 'real', gone: 1 }, unset: ['never', 'other'] } })
  for (let i = 0; i < 3; i++) {
    await ctx.hydrate(envelope, () => {
      t.strictSame([ctx.get('value'), ctx.get('other'), ctx.get('token'), ctx.get('off'), ctx.get('requestId'), ctx.actor('value')], ['kept', undefined, undefined, undefined, 'r-1', 'real'])
      t.equal(ctx.get('removed' as never), undefined)
      t.equal(ctx.get('toString' as never), undefined)
    })
  }
  await ctx.hydrate(JSON.stringify({ v: 1, requestId: 'r-1', values: Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`many${i}`, i])) }), () => {})
  await turns()
  const messages = told.map(({ message }) => message)
  const names = ["'removed'", "'token'", "'off'", "'requestId'", 'another one', "'toString'", "'hasOwnProperty'", "'gone'"]
  t.same(messages.map((message) => message.slice(message.lastIndexOf(': ') + 2)).toSorted(), [...names, ...Array.from({ length: 13 }, (_, i) => `'many${i}'`)].toSorted(), 'each once, and at most twenty')
  t.notMatch(messages.join(), /s3cret|\n|longlong/)
})

t.test('impersonation: the real values are restored as actors, and each line says who acts', async (t) => {
  const lines = new Lines(t)
  const find = (name: string) => async (id: string): Promise<string> => {
    logger.info(`${name} ${id} looked up`)
    people.onEnd(() => { logger.info(`${name} ${id} released`) })
    return name === 'tenant' ? id : `${id} of ${people.get('tenant')}`
  }
  const people = createContext({
    tenant: key<string>({ log: true, locked: true, carry: { pack: (value) => value, unpack: find('tenant') } }),
    user: key<string>({ log: true, carry: { pack: (value) => value, unpack: find('user') } }),
    plan: key<string>({ carry: true })
  })
  const logger = pino({ mixin: people.mixin }, lines)
  const envelope = people.run({ tenant: 'acme', user: 'support', plan: 'paid' }, () => people.impersonate({ tenant: 'globex', user: 'ada', plan: undefined }, { reason: 'ticket 4711' }, () => people.dehydrate()))
  t.same(held(envelope), { values: { tenant: 'globex', user: 'ada' }, actor: { reason: 'ticket 4711', values: { tenant: 'acme', user: 'support', plan: 'paid' }, unset: [] } })
  await people.hydrate(envelope, () => {
    t.strictSame([people.get('tenant'), people.get('user'), people.get('plan')], ['globex', 'ada of globex', undefined])
    t.strictSame([people.actor('tenant'), people.actor('user'), people.actor('plan')], ['acme', 'support of acme', 'paid'])
    logger.info('worked')
  })
  await turns()
  const actor = { tenant: 'acme', user: 'support of acme' }
  t.match(lines.one('worked'), { tenant: 'globex', user: 'ada of globex', actor, reason: 'ticket 4711' })
  for (const line of ['tenant globex looked up', 'user ada looked up', 'tenant globex released', 'user ada released']) t.match(lines.one(line), { actor, reason: 'ticket 4711' }, line)
  for (const line of ['tenant acme looked up', 'user support looked up', 'tenant acme released', 'user support released']) t.notOk('actor' in lines.one(line), line)
  t.match(lines.one('user support looked up'), { tenant: 'acme' })
})

t.test('impersonation: a real value that is missing, not carried, or cannot be unpacked is never replaced by another user\'s', async (t) => {
  const own = createContext({ user: key<string>({ carry: { pack: (user) => user === 'internal' ? undefined : user, unpack: (user: string) => user === 'deleted' ? undefined : user } }), token: key<string>() })
  for (const real of [undefined, 'internal', 'deleted']) {
    const envelope = own.run({ user: real, token: 'a' }, () => own.impersonate({ user: 'ada', token: 'b' }, { reason: 'r' }, () => own.dehydrate()))
    t.notMatch(envelope, 'token')
    await own.hydrate(envelope, () => { t.strictSame([own.get('user'), own.actor('user'), own.get('token'), own.actor('token')], ['ada', undefined, undefined, undefined], real ?? 'none') })
  }
})
