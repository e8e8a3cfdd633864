import type { FastifyRequest } from 'fastify'
import {
  createContext, ctx, key, type CreateOptions, type DehydrateOptions, type EnvelopeOptions, type Packing, type PolicyRow, type ReadyMadeOptions, type Trace, type Tracing
} from '../lib/index.ts'
import { expectEqual, expectType } from './expect.ts'

interface Tenant { readonly id: string, readonly plan: 'free' | 'paid' }

declare const request: FastifyRequest
declare function loadTenant (id: string): Promise<Tenant | undefined>

export function dehydrateMakesAString () {
  expectType<string>().of(ctx.dehydrate())
  expectType<string>().of(ctx.dehydrate({}))
  expectType<string>().of(request.ctx.dehydrate({ remaining: false }))
  expectEqual<DehydrateOptions['remaining'], boolean | undefined>(true)

  // An unknown option.
  // @ts-expect-error
  ctx.dehydrate({ remainig: false })

  // An option of another type.
  // @ts-expect-error
  ctx.dehydrate({ remaining: 1000 })
}

export function hydrateIsAPromiseOfWhatItsFunctionGives () {
  const envelope: unknown = JSON.parse('""')
  expectType<Promise<number>>().of(ctx.hydrate(envelope, () => 1))
  expectType<Promise<string>>().of(ctx.hydrate(envelope, async () => 'done'))
  expectType<Promise<void>>().of(ctx.hydrate(envelope, () => {}))
  expectType<Promise<Date>>().of(request.ctx.hydrate('', async () => await Promise.resolve(new Date())))
  expectType<Promise<number>>().of(ctx.hydrate('', (): PromiseLike<number> => Promise.resolve(1)))
  expectType<Promise<unknown>>().of(ctx.hydrate('', (): unknown => 1))

  // Not a function.
  // @ts-expect-error
  ctx.hydrate(envelope)

  // A missing envelope.
  // @ts-expect-error
  ctx.hydrate(() => {})

  // A function with a parameter.
  // @ts-expect-error
  ctx.hydrate(envelope, (tenant: string) => tenant)

  // A promise used as its result.
  // @ts-expect-error
  expectType<number>().of(ctx.hydrate(envelope, () => 1))
}

export function packAndUnpackAreOfTheKeysType () {
  const own = createContext({
    tenant: key<Tenant>({ carry: { pack: (tenant) => { expectType<Tenant>().of(tenant); return tenant.id }, unpack: (id: string) => loadTenant(id) } }),
    locale: key<string>({ seed: () => 'de', carry: true }),
    since: key<Date>({ carry: { pack: (date) => date.getTime(), unpack: (time) => typeof time === 'number' ? new Date(time) : undefined } }),
    token: key<string>({ carry: false, header: 'x-token' })
  })
  expectType<Tenant | undefined>().of(own.get('tenant'))
  expectType<Date>().of(own.require('since'))
  expectEqual<ReturnType<Packing<Tenant>['unpack']>, Tenant | undefined | Promise<Tenant | undefined>>(true)
  expectEqual<Parameters<Packing<Tenant>['pack']>, [value: Tenant]>(true)

  // A pack without an unpack.
  // @ts-expect-error
  key<Tenant>({ carry: { pack: (tenant) => tenant.id } })

  // An unpack without a pack.
  // @ts-expect-error
  key<Tenant>({ carry: { unpack: loadTenant } })

  // A pack that reads a missing property.
  // @ts-expect-error
  key<Tenant>({ carry: { pack: (tenant) => tenant.name, unpack: loadTenant } })

  // An unpack that returns another type.
  // @ts-expect-error
  key<Tenant>({ carry: { pack: (tenant) => tenant.id, unpack: (id: string) => id } })

  // An unknown option.
  // @ts-expect-error
  key<Tenant>({ carry: { pack: (tenant) => tenant.id, unpack: loadTenant, packs: true } })

  // A string instead of a boolean.
  // @ts-expect-error
  key<string>({ carry: 'yes' })

  // A header without a name.
  // @ts-expect-error
  key<string>({ header: true })
}

export function theOptionsOfAContextOfItsOwn (tracing: Tracing) {
  createContext({}, { envelope: { maxBytes: 4096, secrets: ['a', 'b'] as const, ttl: 60_000 }, propagate: { 'https://api.example': ['requestId'] }, trace: tracing })
  createContext({}, { trace: false, envelope: {} })
  expectEqual<EnvelopeOptions['secrets'], readonly string[] | undefined>(true)

  // An unknown option.
  // @ts-expect-error
  createContext({}, { envelop: {} })

  // An unknown option of envelopes.
  // @ts-expect-error
  createContext({}, { envelope: { secret: 'a' } })

  // One secret instead of a list.
  // @ts-expect-error
  createContext({}, { envelope: { secrets: 'a' } })

  // A time in words.
  // @ts-expect-error
  createContext({}, { envelope: { ttl: '1h' } })

  // An environment variable that may be missing, which would turn signing off.
  // @ts-expect-error
  createContext({}, { envelope: { secrets: [process.env.SECRET] } })

  // Nor for the whole option.
  // @ts-expect-error
  createContext({}, { envelope: { secrets: process.env.SECRET?.split(',') } })
}

export function theOptionsOfTheReadyMadeContext () {
  expectType<ReadyMadeOptions>().of({ keys: { user: { carry: { pack: (user) => user.id, unpack: (id: string) => ({ id }) } } }, envelope: { maxBytes: 512 } } as ReadyMadeOptions)
  const options: ReadyMadeOptions = { keys: { tenant: { carry: true, header: 'x-tenant' } }, trace: true }
  expectType<CreateOptions['trace']>().of(options.trace)

  // An unpack of another type.
  // @ts-expect-error
  const wrong: ReadyMadeOptions = { keys: { user: { carry: { pack: (user) => user.id, unpack: (id: string) => id } } } }
  return wrong
}

export function whatATraceIs () {
  expectType<Trace | undefined>().of(ctx.trace)
  expectType<Trace | undefined>().of(request.ctx.trace)

  // A read-only property.
  // @ts-expect-error
  ctx.trace = undefined
}

export function policyRowsTellWhatIsCarried () {
  const [row] = ctx.policy()
  expectType<PolicyRow | undefined>().of(row)
  expectType<'no' | 'value' | 'packed' | undefined>().of(row?.carried)
  expectType<readonly string[] | undefined>().of(row?.origins)
  expectType<string | undefined>().of(row?.header)
}
