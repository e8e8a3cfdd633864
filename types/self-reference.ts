// Functions of keys that read ctx: the type of ctx follows from their results, so they declare their result.
import { createContext, key } from '../lib/index.ts'

interface User { readonly id: string }

const ctx = createContext({
  tenant: key<string>({ seed: (): string | undefined => ctx.get('region') }),
  region: key<string>({ log: (region): string => `${region} ${tenantOf()}` }),
  user: key<User>({
    log: (user): string => `${user.id} of ${ctx.get('tenant')}`,
    carry: { pack: (user): string => `${ctx.require('tenant')}/${user.id}`, unpack: (id: string): User => ({ id: `${ctx.require('tenant')}/${id}` }) }
  })
})

function tenantOf (): string | undefined { return ctx.get('tenant') }

export const tenant: string | undefined = ctx.get('tenant')

export function withoutResultTypes (): void {
  // @ts-expect-error The type of a context refers to itself by a seed.
  const seeds = createContext({ tenant: key<string>({ seed: () => seeds.get('region') }), region: key<string>() })
  // @ts-expect-error And by log,
  const logs = createContext({ tenant: key<string>({ log: () => logs.get('region') }), region: key<string>() })
  // @ts-expect-error by pack,
  const packs = createContext({ tenant: key<string>({ carry: { pack: () => packs.require('region'), unpack: (id: string): string => id } }), region: key<string>() })
  // @ts-expect-error by unpack,
  const unpacks = createContext({ tenant: key<string>({ carry: { pack: (id): string => id, unpack: () => unpacks.require('region') } }), region: key<string>() })
  // @ts-expect-error and by a function that one of them calls.
  const helped = createContext({ tenant: key<string>({ log: () => help() }), region: key<string>() })
  // @ts-expect-error
  function help () { return helped.get('region') }
  return [seeds, logs, packs, unpacks, helped].forEach(() => {})
}
