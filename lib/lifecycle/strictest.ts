import { isDeepStrictEqual } from 'node:util'
import type { Packing } from '../config/key.ts'
import type { Policy } from '../config/key-policies.ts'
import type { Settings } from '../config/options.ts'
import { everyOf } from '../config/schema.ts'
import { attributeWriter } from '../logging/fields.ts'
import type { Registration } from '../scope/scope.ts'
import { Stores } from '../scope/stores.ts'

type Log = Policy['logged'][number]['log']

/**
 * Combines the rules of several applications that share a context. The strictest rule wins. Scopes outside their requests follow
 * them, because nothing says which application such a scope belongs to. The logger and everything else that protects nothing comes
 * from the last application.
 */
export function strictestOf (registrations: readonly Registration[]): Registration {
  const last = registrations.at(-1)!
  if (registrations.every(({ policy, settings }) => policy === last.policy && settings === last.settings)) return last
  const policy = strictestPolicy(registrations.map(({ policy }) => policy))
  const settings = strictestSettings(registrations.map(({ settings }) => settings), policy)
  return {
    ...last,
    policy,
    stores: new Stores(policy),
    settings,
    idPattern: { test: (id) => registrations.every(({ idPattern }) => idPattern.test(id)) },
    onWrite: attributeWriter(settings.tracing)
  }
}

function strictestPolicy (policies: readonly Policy[]): Policy {
  const names = new Set(policies.flatMap(({ names }) => [...names]))
  return {
    names,
    seeds: [...new Map(policies.flatMap(({ seeds }) => seeds.map((seed) => [seed.name, seed]))).values()],
    locked: new Set(policies.flatMap(({ locked }) => [...locked])),
    undetached: new Set(policies.flatMap(({ undetached }) => [...undetached])),
    missing: new Map(policies.flatMap(({ missing }) => [...missing])),
    logged: [...names].flatMap((name) => {
      const log = narrowest(policies.map(({ logged }) => logged.find((key) => key.name === name)?.log))
      return log === undefined ? [] : [{ name, log }]
    }),
    serializedKeys: new Map([...policies[0]!.serializedKeys].filter(([name]) => policies.every(({ serializedKeys: carried }) => carried.has(name)) && isPackedAlike(name, policies))),
    schemas: new Map([...names].flatMap((name) => {
      const schemas = new Set(policies.flatMap(({ schemas }) => schemas.get(name) ?? []))
      return schemas.size === 0 ? [] : [[name, everyOf([...schemas])]]
    })),
    // A header contains the result of `pack`.
    headers: new Map([...policies[0]!.headers].filter(([name, header]) => policies.every(({ headers }) => headers.get(name) === header) && isPackedAlike(name, policies)))
  }
}

/** What all allow: the value itself, the result of their common function, or the result on which all their functions agree. */
function narrowest (logs: ReadonlyArray<Log | undefined>): Log | undefined {
  if (logs.includes(undefined)) return undefined
  const mappers = [...new Set(logs)].filter((log) => typeof log === 'function')
  if (mappers.length < 2) return mappers[0] ?? true
  return (value) => {
    const [field, ...others] = mappers.map((mapper) => mapper(value))
    return others.every((other) => isDeepStrictEqual(other, field)) ? field : undefined
  }
}

function isPackedAlike (name: string, policies: readonly Policy[]): boolean {
  const [first, ...others] = policies.map(({ serializedKeys: carried }): Partial<Packing<unknown>> | undefined => carried.get(name))
  return others.every((other) => other?.pack === first?.pack && other?.unpack === first?.unpack)
}

function strictestSettings (all: readonly Settings[], policy: Policy): Settings {
  const last = all.at(-1)!
  const { tracing } = last
  const signing = all.map(({ envelope }) => envelope).filter(({ secrets }) => secrets.length > 0)
  const traced = tracing !== undefined && all.every((settings) => settings.tracing === tracing) && [...tracing.attributes.keys()].every((key) => policy.logged.some(({ name }) => name === key))
  return {
    envelope: {
      maxBytes: Math.min(...all.map(({ envelope }) => envelope.maxBytes)),
      secrets: signing.at(-1)?.secrets ?? [],
      ttl: signing.length === 0 ? undefined : Math.min(...signing.map(({ ttl }) => ttl!))
    },
    propagate: Object.fromEntries(Object.entries(last.propagate).map(([origin, keys]) => [origin, keys.filter((key) => all.every(({ propagate }) => propagate[origin]?.includes(key)))])),
    keysFor (url) {
      const [first, ...others] = all.map(({ keysFor }) => keysFor?.(url))
      return others.includes(undefined) || first === undefined ? undefined : new Set([...first].filter((key) => others.every((keys) => keys!.has(key))))
    },
    readsTrace: all.every(({ readsTrace }) => readsTrace),
    tracing: traced ? tracing : undefined,
    cacheMax: smallest(all.map(({ cacheMax }) => cacheMax)),
    diagnostics: all.some(({ diagnostics }) => diagnostics),
    impersonateHooks: [...new Set(all.flatMap(({ impersonateHooks }) => impersonateHooks))]
  }
}

function smallest (limits: ReadonlyArray<number | undefined>): number | undefined {
  const given = limits.filter((limit) => limit !== undefined)
  return given.length === 0 ? undefined : Math.min(...given)
}
