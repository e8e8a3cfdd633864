import { MAX_DEPTH, type Envelope, type Packed, type PackedActor } from './format.ts'
import { FST_CTX_NOT_CARRIABLE, FST_CTX_UNPACK_FAILED } from '../common/errors.ts'
import type { Packing } from '../config/key.ts'
import { check, type Schema } from '../config/schema.ts'
import { runIn } from '../lifecycle/run.ts'
import { Scope } from '../scope/scope.ts'
import { impersonationOf } from '../scope/lookup.ts'
import { warnOnce } from '../common/warnings.ts'

/** The maximum depth of a value, inside the envelope, its actor, and the actor's values. */
const VALUE_DEPTH = MAX_DEPTH - 3

/** How many names of uncarried keys a warning lists. */
const MAX_REPORTED = 20

/**
 * Packs the carried values of a scope, and the actor if one of them is impersonated.
 *
 * @throws FST_CTX_NOT_CARRIABLE
 */
export function packScope (scope: Scope): { readonly values: Packed, readonly actor: PackedActor | undefined } {
  const { serializedKeys: carried } = scope.registration.policy
  const impersonation = impersonationOf(scope)
  const values = packAll(carried, (name) => scope.store[name])
  if (impersonation === undefined) return { values, actor: undefined }
  const { actors, reason } = impersonation
  const real = packAll(carried, (name) => actors.get(name))
  // Also if pack returned undefined, so that nobody else is taken for the real value.
  const unset = [...carried.keys()].filter((name) => actors.has(name) && !Object.hasOwn(real, name))
  return { values, actor: { reason, values: real, unset } }
}

/**
 * Restores the values of an envelope in a scope, in the order in which the keys were declared, so an `unpack` may read
 * earlier keys. Ignores keys that are unknown or not carried.
 *
 * @throws FST_CTX_UNPACK_FAILED
 */
export async function unpackInto (scope: Scope, { values, actor }: Envelope): Promise<void> {
  // First, so that log lines of an unpack already say who acts.
  if (actor !== undefined) {
    const actors = await unpackActors(scope, values, actor)
    scope.state().impersonation = { actors, reason: actor.reason }
  }
  await unpackAll(scope, values)
}

/** Unpacks the real values in a scope that has them: the real user is looked up in the real tenant. */
async function unpackActors (scope: Scope, values: Packed, actor: PackedActor): Promise<ReadonlyMap<string, unknown>> {
  const real = new Scope(scope.definition, scope.registration, scope, scope.enclosing)
  const unset = new Set(actor.unset)
  const packed = Object.entries({ ...values, ...actor.values }).filter(([name]) => !unset.has(name))
  await runIn(real, () => unpackAll(real, Object.fromEntries(packed)), undefined)
  const impersonated = [...Object.keys(actor.values), ...unset].filter((name) => scope.registration.policy.serializedKeys.has(name))
  return new Map(impersonated.map((name) => [name, real.store[name]]))
}

function packAll (carried: ReadonlyMap<string, Packing<unknown> | undefined>, read: (name: string) => unknown): Packed {
  const packed: Record<string, unknown> = {}
  for (const [name, packing] of carried) {
    const value = read(name)
    if (value === undefined) continue
    const made = packing === undefined ? value : packOne(name, value, packing)
    if (made === undefined) continue
    checkJson(name, made)
    packed[name] = made
  }
  return packed
}

function checkJson (name: string, value: unknown): void {
  let wrong: string | undefined
  try {
    wrong = whyNotJson(value, VALUE_DEPTH)
  } catch (cause) {
    // A getter or a Proxy threw. Its error may contain private data, so it is the cause, and not in the message.
    throw Object.assign(new FST_CTX_NOT_CARRIABLE(name, 'reading it threw'), { cause })
  }
  if (wrong !== undefined) throw new FST_CTX_NOT_CARRIABLE(name, wrong)
}

function packOne (name: string, value: unknown, { pack }: Packing<unknown>): unknown {
  try {
    return pack(value)
  } catch (cause) {
    throw Object.assign(new FST_CTX_NOT_CARRIABLE(name, 'its pack threw'), { cause })
  }
}

async function unpackAll (scope: Scope, packed: Packed): Promise<void> {
  const { serializedKeys: carried, schemas } = scope.registration.policy
  for (const name of Object.keys(packed)) if (!carried.has(name)) warnDropped(name)
  for (const [name, packing] of carried) {
    if (!Object.hasOwn(packed, name)) continue
    const schema = schemas.get(name)
    const value = packing === undefined && schema === undefined ? packed[name] : await unpackOne(name, packed[name], packing, schema)
    if (value !== undefined) scope.write(name, value)
  }
}

async function unpackOne (name: string, packed: unknown, packing: Packing<unknown> | undefined, schema: Schema | undefined): Promise<unknown> {
  try {
    const value = packing === undefined ? packed : await packing.unpack(packed)
    return schema === undefined ? value : await check(name, value, schema)
  } catch (cause) {
    const error = Object.assign(new FST_CTX_UNPACK_FAILED(name), { cause })
    // Stack traces have ten lines. Without the lines of this file, one of them is the user's.
    Error.captureStackTrace(error, unpackInto)
    throw error
  }
}

const reported = new Set<string>()

/** Names come from outside. Only some that look like a key name are repeated. */
function warnDropped (name: string): void {
  if (reported.size < MAX_REPORTED && /^[\w.-]{1,64}$/.test(name)) reported.add(name)
  const subject = reported.has(name) ? `'${name}'` : 'another one'
  warnOnce('FST_CTX_ENVELOPE_KEY', subject, `ctx.hydrate left out the value of a key that this context does not carry (give the key carry here to accept it): ${subject}`)
}

/** Why JSON would change a value; `undefined` if it would not. */
function whyNotJson (value: unknown, depth: number): string | undefined {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return undefined
  if (typeof value === 'number') return Number.isFinite(value) && !Object.is(value, -0) ? undefined : 'JSON has no NaN, Infinity or -0'
  if (typeof value !== 'object') return `${value === undefined ? 'undefined' : `a ${typeof value}`} is not a JSON value`
  if (depth === 0) return 'it is nested too deep, or contains itself'
  if (!isPlain(value)) return `JSON cannot represent ${classOf(value)}`
  if (typeof (value as { toJSON?: unknown }).toJSON === 'function') return 'JSON would use the result of its toJSON'
  if (Array.isArray(value)) return Object.keys(value).length > value.length ? 'of an array JSON keeps only the items' : firstWrong(value, depth)
  if (Object.keys(value).some((name) => name === '__proto__' || name === 'constructor')) return "it has a property '__proto__' or 'constructor'"
  // A property that is undefined counts as missing.
  return firstWrong(Object.values(value).filter((inner) => inner !== undefined), depth)
}

/** Whether a value is a plain object or array of any realm. Test runners may use a separate one. */
function isPlain (value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return Array.isArray(value) ? Array.isArray(prototype) : prototype === null || Object.getPrototypeOf(prototype) === null
}

/** The name of the class of a value as it is written in code. A name set at run time may be private. */
function classOf (value: object): string {
  const prototype = Object.getPrototypeOf(value) as object | null
  const constructor: unknown = prototype === null ? undefined : Object.getOwnPropertyDescriptor(prototype, 'constructor')?.value
  const isClass = typeof constructor === 'function' && constructor.prototype === prototype
  const name: unknown = isClass ? Object.getOwnPropertyDescriptor(constructor, 'name')?.value : undefined
  return typeof name === 'string' && /^\w{1,64}$/.test(name) ? name : 'instance of a class'
}

function firstWrong (values: Iterable<unknown>, depth: number): string | undefined {
  for (const value of values) {
    const wrong = whyNotJson(value, depth - 1)
    if (wrong !== undefined) return wrong
  }
  return undefined
}
