// Malicious input for ctx.hydrate: random texts, random JSON, and altered envelopes. SEED=n repeats a run.
import { inspect, isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { createContext, key } from '../../lib/index.ts'
import { turns, type Tap } from '../support/support.ts'

const SEED = Number(process.env.SEED ?? 20_261_122)
const RUNS = 2000
const SECRET = 'a secret of 32 characters or more'

/** A value that must never appear. It is in the scope around each hydrate. */
const AROUND = 'of another tenant'

/** The warnings of the whole file. */
const told: string[] = []
process.on('warning', ({ message }) => { told.push(message) })

const CARRIED = ['tenant', 'user'] as const

const keys = { tenant: key<{} | null>({ carry: true, log: true }), user: key<{} | null>({ carry: true }), token: key<{} | null>() }
const ctx = createContext(keys)
const signed = createContext(keys, { envelope: { secrets: [SECRET], ttl: 3_600_000 } })
type Subject = typeof ctx

/** What code sees in a scope: the carried keys and everything else. */
interface Seen { readonly requestId: string, readonly values: readonly unknown[], readonly actors: readonly unknown[], readonly others: readonly unknown[] }

const NOTHING = [undefined, undefined]

function see (ctx: Subject): Seen {
  const others = ['token', 'kept', '__proto__', 'constructor', 'polluted', 'toString', 'removed'].map((name) => ctx.get(name as 'token')).filter((value) => value !== undefined)
  if (ctx.cache.has('kept')) others.push(ctx.cache.get('kept') as string)
  return { requestId: String(ctx.get('requestId')), values: CARRIED.map((name) => ctx.get(name)), actors: CARRIED.map((name) => ctx.actor(name)), others }
}

/** What code sees when it hydrates in the work of another tenant. */
function hydrated (ctx: Subject, given: unknown): Promise<Seen> {
  return ctx.run({ tenant: AROUND, user: AROUND, token: AROUND }, () => {
    ctx.cache.set('kept', AROUND)
    return ctx.hydrate(given, () => see(ctx))
  })
}

/** The content of the text, read without our code; `undefined` if it is not an envelope. */
function said (text: unknown): Seen | undefined {
  if (typeof text !== 'string') return undefined
  try {
    const { v, requestId, values, actor } = JSON.parse(text) as { v: unknown, requestId: string, values: Record<string, unknown>, actor?: { values: Record<string, unknown>, unset: string[] } }
    if (v !== 1 || typeof requestId !== 'string') return undefined
    const own = (object: Record<string, unknown>, name: string): unknown => Object.hasOwn(object, name) ? object[name] : undefined
    const actorOf = (name: string): unknown => actor === undefined ? own(values, name) : actor.unset.includes(name) ? undefined : own(Object.hasOwn(actor.values, name) ? actor.values : values, name)
    return { requestId, values: CARRIED.map((name) => own(values, name)), actors: CARRIED.map(actorOf), others: [] }
  } catch {
    return undefined
  }
}

const UUID = /^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/

/** Checks that a scope shows either everything that the text contains, or nothing, and nothing else. */
async function holds (given: unknown): Promise<'as said' | 'clean'> {
  const seen = await hydrated(ctx, given)
  if (JSON.stringify(seen).includes(AROUND)) throw new Error('a value of the scope around it')
  if (({} as { polluted?: unknown }).polluted !== undefined || Object.keys(Object.prototype).length > 0) throw new Error('a prototype is polluted')
  const clean = { requestId: seen.requestId, values: NOTHING, actors: NOTHING, others: [] }
  if (isDeepStrictEqual(seen, clean) && UUID.test(seen.requestId) && !inspect(given).includes(seen.requestId)) return 'clean'
  const told = said(given)
  // Without a signature, an id that the pattern does not allow is replaced, and the values stay.
  const replaced = told !== undefined && !/^[\w.:-]{1,128}$/.test(told.requestId) && UUID.test(seen.requestId)
  const expected = replaced ? { ...told, requestId: seen.requestId } : told
  if (!isDeepStrictEqual(seen, expected)) throw new Error(`saw ${JSON.stringify(seen)}, said ${JSON.stringify(said(given))}`)
  return 'as said'
}

const value: fc.Arbitrary<{} | null> = fc.oneof(fc.string(), fc.integer(), fc.constant(null), fc.boolean(), fc.array(fc.string(), { maxLength: 3 }), fc.dictionary(fc.constantFrom('a', 'b', 'id'), fc.string(), { maxKeys: 3 }))

/** Valid envelopes, with and without an actor. */
function envelopes (of: Subject): fc.Arbitrary<string> {
  return fc.tuple(value, value, fc.boolean()).map(([tenant, user, acts]) => of.run({ tenant, user, requestId: 'r-1' }, () =>
    acts ? of.impersonate({ user: 'victim', tenant: undefined }, { reason: 'ticket 4711' }, () => of.dehydrate()) : of.dehydrate()))
}

const POLLUTION = ['"__proto__":{"polluted":1}', '"\\u005f_proto__":{"polluted":1}', '"__pr\\u006fto__":{"polluted":1}', '"constructor":{"prototype":{"polluted":1}}', '"\\u0063onstructor":{"prototype":{"polluted":1}}', '"constructor":1']
const MEMBERS = ['"v":1', '"v":2', '"requestId":"evil"', '"values":{"tenant":"evil"}', '"tenant":"evil"', '"token":"evil"', '"remaining":1e999', '"remaining":-1', '"signature":"evil"', '"issued":9e15', '"actor":null', '"toString":1', '"":""']

/** Inserts a text into another at a position. */
function insert (text: string, at: number, added: string): string {
  return text.slice(0, at) + added + text.slice(at)
}

/** Adds a member after the n-th `{` or before the n-th `}`. */
function put (text: string, which: number, member: string): string {
  const braces = [...text.matchAll(/[{}]/g)]
  const { index, 0: brace } = braces[which % braces.length]!
  return brace === '{' ? insert(text, index + 1, text[index + 1] === '}' ? member : `${member},`) : insert(text, index, text[index - 1] === '{' ? member : `,${member}`)
}

/** Alterations of a text, one per case. */
const tampering: fc.Arbitrary<(text: string) => string> = fc.oneof(
  fc.tuple(fc.nat(), fc.integer({ min: 0, max: 7 })).map(([at, bit]) => (text: string) => {
    const bytes = Buffer.from(text)
    bytes[at % bytes.length]! ^= 1 << bit
    return bytes.toString()
  }),
  fc.nat().map((at) => (text: string) => text.slice(0, at % text.length)),
  fc.nat().map((at) => (text: string) => text.slice(1 + at % text.length)),
  fc.tuple(fc.nat(), fc.nat()).map(([at, length]) => (text: string) => text.slice(0, at % text.length) + text.slice(at % text.length + 1 + length % 20)),
  fc.tuple(fc.nat(), fc.string({ unit: 'binary', minLength: 1, maxLength: 8 })).map(([at, added]) => (text: string) => insert(text, at % (text.length + 1), added)),
  fc.tuple(fc.nat(), fc.constantFrom(...POLLUTION, ...MEMBERS)).map(([which, member]) => (text: string) => put(text, which, member)),
  fc.tuple(fc.nat(), fc.integer({ min: 1, max: 3000 }), fc.boolean()).map(([which, depth, list]) => (text: string) =>
    put(text, which, `"deep":${(list ? '[' : '{"a":').repeat(depth)}1${(list ? ']' : '}').repeat(depth)}`)),
  // The members in reverse order, one of them twice, and one of them left out.
  fc.constantFrom('swap', 'twice', 'without').map((how) => (text: string) => {
    const members = Object.entries(JSON.parse(text) as object).map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`)
    if (how === 'swap') members.reverse()
    else if (how === 'twice') members.push(members[0]!)
    else members.splice(members.length >> 1, 1)
    return `{${members.join(',')}}`
  }),
  fc.constantFrom(...[' ', '\n', '\ufeff', '\u0000', '//', '{}', ','].flatMap((added) => [(text: string) => text + added, (text: string) => added + text])),
  fc.constantFrom((text: string) => text.replace(',', ', '), (text: string) => text.replace('"r-1"', '"\\u0072-1"'), (text: string) => `[${text}]`, (text: string) => JSON.stringify(text))
)

/** Checks a property with this many cases, and prints the seed. */
async function check (t: Tap, property: fc.IAsyncPropertyWithHooks<any>, numRuns = RUNS): Promise<void> {
  t.comment(`SEED=${SEED}, ${numRuns} cases`)
  await fc.assert(property, { seed: SEED, numRuns })
  t.pass('no counterexample')
}

t.test('hydrate: random texts and random JSON give a clean scope, inside any scope', async (t) => {
  await check(t, fc.asyncProperty(fc.oneof(fc.string({ unit: 'binary' }), fc.json(), fc.jsonValue(), fc.anything({ withNullPrototype: true, withBigInt: true, withDate: true })), async (given) => {
    if (await holds(given) !== 'clean') throw new Error('not clean')
  }))
})

t.test('hydrate: JSON shaped like an envelope gives the values that it contains, or a clean scope', async (t) => {
  const outcomes = { 'as said': 0, clean: 0 }
  const mostly = <T>(good: fc.Arbitrary<T>): fc.Arbitrary<unknown> => fc.oneof({ weight: 12, arbitrary: good }, { weight: 1, arbitrary: fc.jsonValue() })
  const names = fc.constantFrom('tenant', 'user', 'token', '__proto__', 'constructor', 'toString', 'requestId', 'x')
  const values = fc.dictionary(fc.oneof({ weight: 9, arbitrary: fc.constantFrom('tenant', 'user', 'removed') }, { weight: 1, arbitrary: names }), value, { maxKeys: 4 })
  const shaped = fc.record({
    v: mostly(fc.constant(1)),
    requestId: mostly(fc.constant('r-1')),
    values: mostly(values),
    actor: mostly(fc.record({ reason: mostly(fc.constant('because')), values: mostly(values), unset: mostly(fc.uniqueArray(names, { maxLength: 2 })) })),
    remaining: mostly(fc.nat())
  }, { requiredKeys: ['v', 'requestId', 'values'] })
  await check(t, fc.asyncProperty(shaped, async (envelope) => {
    outcomes[await holds(JSON.stringify(envelope))]++
  }))
  t.comment(`outcomes: ${JSON.stringify(outcomes)}`)
  t.ok(outcomes['as said'] > RUNS / 10 && outcomes.clean > RUNS / 10, 'many of either')
})

t.test('hydrate: a valid envelope altered once or more never rejects, and never shows what it does not contain', async (t) => {
  const outcomes = { 'as said': 0, clean: 0 }
  await check(t, fc.asyncProperty(envelopes(ctx), fc.array(tampering, { minLength: 1, maxLength: 3 }), async (envelope, alterations) => {
    const [first, ...more] = alterations
    // The first alteration gets an envelope, the others get the result of the previous one.
    let text = first!(envelope)
    for (const alter of more) try { text = alter(text) } catch { break }
    outcomes[await holds(text)]++
  }))
  t.comment(`outcomes: ${JSON.stringify(outcomes)}`)
  t.ok(outcomes.clean > RUNS / 2 && outcomes['as said'] > RUNS / 50, 'most are refused, some are still envelopes')
})

t.test('hydrate: a valid signed envelope is accepted, and any alteration is refused before any work', async (t) => {
  await check(t, fc.asyncProperty(envelopes(signed), tampering, async (envelope, alter) => {
    const altered = alter(envelope)
    if (altered === envelope) return
    let called = false
    const code = await signed.hydrate(altered, () => { called = true }).then(() => 'taken', (error: { code: string }) => error.code)
    if (code !== 'FST_CTX_ENVELOPE_REFUSED' || called) throw new Error(`${code}: ${altered}`)
    if (!isDeepStrictEqual(await hydrated(signed, envelope), said(envelope))) throw new Error('the good one is not what it was')
  }))
})

t.test('hydrate: an envelope as deep or wide as a raised size limit allows gives a clean scope, without a stack overflow', async (t) => {
  const wide = createContext(keys, { envelope: { maxBytes: 2 ** 22 } })
  for (const [open, close] of [['[', ']'], ['{"a":', '}']] as const) {
    for (const depth of [33, 1000, 300_000]) {
      const text = `{"v":1,"requestId":"r","values":{"tenant":${open.repeat(depth)}1${close.repeat(depth)}}}`
      t.same((await hydrated(wide, text)).values, NOTHING, `${depth} ${open}`)
    }
  }
  const many = Object.fromEntries(Array.from({ length: 50_000 }, (_, i) => [`key${i}`, i]))
  t.same((await hydrated(wide, JSON.stringify({ v: 1, requestId: 'r', values: { ...many, tenant: 'acme' } }))).values, ['acme', undefined])
})

t.test('hydrate: all this emits one warning per reason and for each of twenty names, without any other input', async (t) => {
  for (const given of ['evil<script>', '{"v":9,"evil":1}', '{"v":1,"evil":1}', '{"v":1,"requestId":"evil evil","values":{}}', '{"v":1,"requestId":"r","values":{"evil\\nline":1}}']) {
    for (let i = 0; i < 100; i++) await hydrated(ctx, given)
  }
  await turns()
  t.ok(told.length > 10)
  t.ok(told.length <= 9 + 21, `${told.length} were emitted`)
  t.equal(new Set(told).size, told.length, 'each once')
  t.notMatch(told.join(), new RegExp(`evil|${AROUND}`))
})
