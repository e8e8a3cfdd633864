import fastify, { type FastifyPluginAsync, type FastifyRequest } from 'fastify'
import { createContext, key, type ContextOptions, type Key, type Own, type Present, type RequestContext, type ReservedName, type ValuesOf } from '../lib/index.ts'
import { expectEqual, expectType, type AnyIn } from './expect.ts'

interface Tenant { readonly id: string, readonly plan: 'free' | 'paid' }
interface User { readonly id: string }

declare function findTenant (request: FastifyRequest): Promise<Tenant | undefined>
declare function localeOf (request: FastifyRequest): string
declare function findPlan (): Promise<Tenant['plan']>
declare function mayFail (): string | Promise<string | undefined>

const ctx = createContext({
  tenant: key<Tenant>({ seed: findTenant, log: (tenant) => tenant.id }),
  user: key<User>({ log: ({ id }) => id }),
  token: key<string>(),
  region: key<string>({ seed: (request) => request.headers['x-region'], log: true }),
  locale: key<string>({ seed: localeOf }),
  plan: key<Tenant['plan']>({ seed: findPlan }),
  shard: key<number>({ seed: () => 1, log: false }),
  inferred: key({ seed: () => new Map<string, number>() }),
  perhaps: key({ seed: (request) => request.headers['x-perhaps'] }),
  either: key<string>({ seed: mayFail }),
  nothing: key<null>({ seed: () => null })
})

type Values = ValuesOf<typeof ctx>
declare const request: { readonly ctx: RequestContext<Values> }

export function theValuesFollowFromTheKeys () {
  expectEqual<Omit<Values, 'requestId' | keyof Own<unknown>>, {
    tenant: Tenant
    user: User
    token: string
    region: string
    locale: Present<string>
    plan: Present<Tenant['plan']>
    shard: Present<number>
    inferred: Present<Map<string, number>>
    perhaps: string
    either: string
    nothing: Present<null>
  }>(true)
  expectEqual<Values['requestId'], Present<string>>(true)
}

export function getIsNeverSureAndRequireIs () {
  expectType<Tenant | undefined>().of(ctx.get('tenant'))
  expectType<string | undefined>().of(ctx.get('locale'))
  expectType<Map<string, number> | undefined>().of(ctx.get('inferred'))
  expectType<string | undefined>().of(ctx.get('requestId'))
  expectType<null | undefined>().of(ctx.get('nothing'))
  expectType<Tenant>().of(ctx.require('tenant'))
  expectType<string>().of(ctx.require('token'))
  expectType<Tenant['plan']>().of(ctx.require('plan'))
  expectType<string>().of(ctx.require('requestId'))
  expectType<null>().of(ctx.require('nothing'))
}

export function entriesPairEachKeyWithItsValue () {
  const small = createContext({ tenant: key<string>(), count: key<number>({ seed: () => 1 }) })
  type Pair = ['requestId', string] | ['tenant', string] | ['count', number]
  expectType<Pair[]>().of(small.entries())
  for (const [name, value] of small.entries()) if (name === 'count') expectType<number>().of(value)
  expectType<Record<string, unknown>>().of(request.ctx.fields())
  expectType<number>().of(ctx.exit(() => 7))
  expectType<Promise<string>>().of(request.ctx.exit(async () => 'x'))

  // A promise is not a function.
  // @ts-expect-error
  ctx.exit(Promise.resolve())
}

export function requestCtxIsSureWhereTheSeedIs () {
  // Sync and async seeds that always return a value.
  expectType<string>().of(request.ctx.locale)
  expectType<Tenant['plan']>().of(request.ctx.plan)
  expectType<number>().of(request.ctx.shard)
  expectType<Map<string, number>>().of(request.ctx.inferred)
  expectType<null>().of(request.ctx.nothing)
  expectType<string>().of(request.ctx.requestId)
  // Seeds that may return undefined, and no seed.
  expectType<Tenant | undefined>().of(request.ctx.tenant)
  expectType<string | undefined>().of(request.ctx.region)
  expectType<string | undefined>().of(request.ctx.perhaps)
  expectType<string | undefined>().of(request.ctx.either)
  expectType<User | undefined>().of(request.ctx.user)
  expectType<string | undefined>().of(request.ctx.token)

  // Another type for a present key.
  // @ts-expect-error
  request.ctx.locale = undefined

  // A value of another type.
  // @ts-expect-error
  request.ctx.plan = 'gold'

  // The request id is read-only.
  // @ts-expect-error
  request.ctx.requestId = 'other'
}

export function seedsAndMappersNeedNoAnnotation () {
  key<string>({
    seed: (request) => {
      expectType<string | undefined>().of(request.headers['x-tenant-id'])
      expectType<string | undefined>().of(request.headers.host)
      expectType<string>().of(request.id)
      expectType<string>().of(request.url)
      return request.headers['x-tenant-id']
    }
  })
  key<Tenant>({ log: (tenant) => { expectType<Tenant>().of(tenant); return tenant.plan } })
  key<string>({ seed: () => 'x', log: (value) => { expectType<string>().of(value); return value.length } })
  key({ seed: () => 1, log: (value) => { expectType<number>().of(value); return value } })
  expectType<Key<string, string | undefined>>().of(key<string>())
  expectType<Key<string, string | undefined>>().of(key<string>({}))
  expectType<Key<string, string | undefined>>().of(key<string>({ log: true }))
  expectType<Key<string, string | undefined>>().of(key<string>({ seed: async (request) => request.headers['x-tenant-id'] }))
  expectType<Key<string, string>>().of(key<string>({ seed: async () => 'acme' }))
}

export function seedsAndMappersOfTheWrongTypeAreRefused () {
  // A sync seed.
  // @ts-expect-error
  key<string>({ seed: () => 1 })

  // An async seed.
  // @ts-expect-error
  key<string>({ seed: async () => 1 })

  // null, which is not of this type.
  // @ts-expect-error
  key<string>({ seed: () => null })

  // A value instead of a seed.
  // @ts-expect-error
  key<string>({ seed: 'acme' })

  // A function instead of a policy. Only the keys option has this short form.
  // @ts-expect-error
  key<string>(() => 'acme')

  // A mapper of another type.
  // @ts-expect-error
  key<string>({ log: (value: number) => value })

  // A mapper that reads a missing property.
  // @ts-expect-error
  key<User>({ log: (user) => user.name })

  // An unknown option.
  // @ts-expect-error
  key<string>({ logs: true })

  // A header that may be missing.
  // @ts-expect-error
  key<string>({ seed: (request) => request.headers['x-tenant-id'].trim() })

  // A key without key().
  // @ts-expect-error
  createContext({ tenant: { log: true } })

  // A seed without key().
  // @ts-expect-error
  createContext({ tenant: () => 'acme' })
}

export function whatAlwaysThrowsIsRefused () {
  // The request is read-only.
  // @ts-expect-error
  ctx.impersonate({ requestId: 'other' }, { reason: 'support' }, () => {})

  // A name of request.ctx itself.
  // @ts-expect-error
  createContext({ get: key<string>() })

  // A name of every object.
  // @ts-expect-error
  createContext({ tenant: key<string>(), constructor: key<string>() })

  // JSON turns a date into a string.
  // @ts-expect-error
  key<Date>({ carry: true })

  // JSON has no functions.
  // @ts-expect-error
  key<() => void>({ carry: true })

  // JSON has no maps, even if a seed returns one.
  // @ts-expect-error
  key({ seed: () => new Map<string, number>(), carry: true })

  key<Date>({ carry: false })
  key<Date>({ carry: { pack: (date) => date.toISOString(), unpack: (text: string) => new Date(text) } })
  key<any>({ carry: true })
  key<unknown>({ carry: true })
  key<User | null>({ carry: true })
  key<string | undefined>({ carry: true })
  expectType<Key<number, number>>().of(key({ seed: () => 1, carry: true }))
  createContext({} as Record<string, Key<string>>)
  expectEqual<Exclude<keyof typeof ctx, ReservedName>, never>(true)
}

export function unknownKeysAreRefused () {
  // get
  // @ts-expect-error
  ctx.get('tenantt')

  // require
  // @ts-expect-error
  ctx.require('tenantt')

  // has
  // @ts-expect-error
  ctx.has('tenantt')

  // set
  // @ts-expect-error
  ctx.set('tenantt', 'acme')

  // run
  // @ts-expect-error
  ctx.run({ tenantt: 'acme' }, () => {})

  // a key of the ready-made context
  // @ts-expect-error
  ctx.get('basket')

  // a property of request.ctx
  // @ts-expect-error
  expectType<undefined>().of(request.ctx.tenantt)
}

export function wrongValuesAreRefused () {
  ctx.set('shard', 2)
  ctx.set('shard', undefined)
  ctx.run({ shard: 2, token: undefined }, () => {})

  // set
  // @ts-expect-error
  ctx.set('shard', '2')

  // set, the request id
  // @ts-expect-error
  ctx.set('requestId', 'other')

  // run
  // @ts-expect-error
  ctx.run({ shard: '2' }, () => {})

  // run, one right and one wrong
  // @ts-expect-error
  ctx.run({ token: 'abc', plan: 'gold' }, () => {})
}

export function thePluginTakesItsOptionsWithoutKeys () {
  expectType<FastifyPluginAsync<ContextOptions>>().of(ctx.plugin)
  const app = fastify()
  app.register(ctx.plugin)
  app.register(ctx.plugin, { requestId: { header: 'x-correlation-id' } })

  // Keys, which belong to createContext().
  // @ts-expect-error
  app.register(ctx.plugin, { keys: { tenant: () => undefined } })

  // The plugin is read-only.
  // @ts-expect-error
  ctx.plugin = app
}

export function nothingIsAny () {
  expectEqual<AnyIn<typeof ctx>, never>(true)
  expectEqual<AnyIn<Values>, never>(true)
  expectEqual<AnyIn<RequestContext<Values>>, never>(true)
}
