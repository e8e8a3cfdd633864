import { MAX_DEPTH, type Envelope, type Packed, type PackedActor } from './envelope.ts'
import { FST_CTX_NOT_CARRIABLE, FST_CTX_UNPACK_FAILED } from './errors.ts'
import type { Packing } from './key.ts'
import { impersonationOf, type Scope } from './scope.ts'
import { warnOnce } from './warnings.ts'

/** How deep a value may be nested: around it are the envelope, its actor, and the values of that. */
const VALUE_DEPTH = MAX_DEPTH - 3

/**
 * The values of a scope that are carried, packed, and who acts where one of them is impersonated.
 *
 * @throws FST_CTX_NOT_CARRIABLE
 */
export function packScope (scope: Scope): { readonly values: Packed, readonly actor: PackedActor | undefined } {
  const { carried } = scope.registration.policy
  const impersonation = impersonationOf(scope)
  const values = packAll(carried, (name) => scope.store[name])
  if (impersonation === undefined) return { values, actor: undefined }
  const { actors, reason } = impersonation
  const unset = [...carried.keys()].filter((name) => actors.has(name) && actors.get(name) === undefined)
  return { values, actor: { reason, values: packAll(carried, (name) => actors.get(name)), unset } }
}

/**
 * Gives a scope the values of an envelope, in the order in which the keys were declared: an `unpack` may read the keys
 * before its own. Of keys that are not carried, or are none any more, nothing is taken.
 *
 * @throws FST_CTX_UNPACK_FAILED
 */
export async function unpackInto (scope: Scope, { values, actor }: Envelope): Promise<void> {
  for await (const [name, value] of unpackAll(scope, values)) if (value !== undefined) scope.write(name, value)
  if (actor === undefined) return
  const { carried } = scope.registration.policy
  const actors = new Map<string, unknown>(actor.unset.filter((name) => carried.has(name)).map((name) => [name, undefined]))
  for await (const [name, value] of unpackAll(scope, actor.values)) actors.set(name, value)
  scope.use().impersonation = { actors, reason: actor.reason }
}

function packAll (carried: ReadonlyMap<string, Packing<unknown> | undefined>, read: (name: string) => unknown): Packed {
  const packed: Record<string, unknown> = {}
  for (const [name, packing] of carried) {
    const value = read(name)
    if (value === undefined) continue
    const made = packing === undefined ? value : packOne(name, value, packing)
    const wrong = made === undefined ? undefined : whyNotJson(made, VALUE_DEPTH)
    if (wrong !== undefined) throw new FST_CTX_NOT_CARRIABLE(name, wrong)
    packed[name] = made
  }
  return packed
}

function packOne (name: string, value: unknown, { pack }: Packing<unknown>): unknown {
  try {
    return pack(value)
  } catch (cause) {
    throw Object.assign(new FST_CTX_NOT_CARRIABLE(name, 'its pack threw'), { cause })
  }
}

async function * unpackAll (scope: Scope, packed: Packed): AsyncGenerator<[name: string, value: unknown]> {
  const { carried } = scope.registration.policy
  const dropped = Object.keys(packed).filter((name) => !carried.has(name))
  if (dropped.length > 0) warnDropped(dropped)
  for (const [name, packing] of carried) {
    if (!Object.hasOwn(packed, name)) continue
    if (packing === undefined) {
      yield [name, packed[name]]
      continue
    }
    try {
      yield [name, await packing.unpack(packed[name])]
    } catch (cause) {
      throw Object.assign(new FST_CTX_UNPACK_FAILED(name), { cause })
    }
  }
}

/** Names come from outside: only those that look like one are repeated. */
function warnDropped (names: readonly string[]): void {
  const told = names.filter((name) => /^[\w.-]{1,64}$/.test(name)).slice(0, 5).map((name) => `'${name}'`).join(', ') || 'some'
  warnOnce('FST_CTX_ENVELOPE_KEY', told, `ctx.hydrate was given values of keys that this context does not carry, and left them out: ${told}`)
}

/** Why JSON would lose something of a value; `undefined` where it would not. */
function whyNotJson (value: unknown, depth: number): string | undefined {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return undefined
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : `${value} is no number in JSON`
  if (typeof value !== 'object') return `${value === undefined ? 'undefined' : `a ${typeof value}`} is no JSON value`
  if (depth === 0) return 'it is nested too deep, or in itself'
  if (Array.isArray(value)) return firstWrong(value.values(), depth)
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== null && prototype !== Object.prototype) return `JSON keeps no ${value.constructor?.name ?? 'class'}`
  if (typeof (value as { toJSON?: unknown }).toJSON === 'function') return 'JSON would keep what its toJSON makes'
  if (Object.keys(value).some((name) => name === '__proto__' || name === 'constructor')) return "it has a property '__proto__' or 'constructor'"
  // A property that is undefined is as good as none.
  return firstWrong(Object.values(value).filter((inner) => inner !== undefined), depth)
}

function firstWrong (values: Iterable<unknown>, depth: number): string | undefined {
  for (const value of values) {
    const wrong = whyNotJson(value, depth - 1)
    if (wrong !== undefined) return wrong
  }
  return undefined
}
