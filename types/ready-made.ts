import fastify from 'fastify'
import { requestContext } from '@fastify/request-context'
import context, { ctx, type Context, type ContextValues, type ReadyMadeContext, type ReadyMadeOptions } from '../lib/index.ts'
import type { User } from './augment.ts'
import { expectEqual, expectType, type AnyIn } from './expect.ts'

declare const user: User
declare function authenticate (token: string | undefined): Promise<User>

export async function theExampleOfTheReadMeCompiles () {
  const app = fastify({ logger: true })
  await app.register(context, {
    keys: {
      tenant: (request) => request.headers['x-tenant-id'],
      user: { log: (user) => user.id }
    }
  })
  app.addHook('preHandler', async (request) => { request.ctx.user = await authenticate(request.headers.authorization) })
  app.get('/', async (request) => request.ctx.tenant)
}

export function theContextIsTypedByTheAugmentation () {
  expectType<ReadyMadeContext>().of(ctx)
  expectEqual<typeof ctx extends Context<ContextValues> ? true : false, true>(true)
  expectType<string | undefined>().of(ctx.get('tenant'))
  expectType<User | undefined>().of(ctx.get('user'))
  expectType<string | undefined>().of(ctx.get('locale'))
  expectType<string | undefined>().of(ctx.get('requestId'))
  expectType<string>().of(ctx.require('tenant'))
  expectType<User>().of(ctx.require('user'))
  expectType<string>().of(ctx.require('locale'))
  expectType<string>().of(ctx.require('requestId'))
  expectType<boolean>().of(ctx.has('tenant'))
}

export function theTypesOfRequestContextHoldToo () {
  expectType<readonly string[] | undefined>().of(ctx.get('basket'))
  expectType<readonly string[]>().of(ctx.require('basket'))
  expectType<number | undefined>().of(ctx.get('coupon'))
  expectType<number>().of(ctx.require('coupon'))
  ctx.set('basket', ['pears'])
  ctx.run({ basket: [], coupon: 5 }, () => {})
  expectType<readonly string[] | undefined>().of(requestContext.get('basket'))
}

export async function requestCtxHasEachKeyAsAProperty () {
  const app = fastify()
  app.get('/', async (request) => {
    expectType<string | undefined>().of(request.ctx.tenant)
    expectType<User | undefined>().of(request.ctx.user)
    expectType<string>().of(request.ctx.locale)
    expectType<string>().of(request.ctx.requestId)
    expectType<readonly string[] | undefined>().of(request.ctx.basket)
    expectType<number | undefined>().of(request.ctx.coupon)
    expectType<User | undefined>().of(request.ctx.get('user'))
    expectType<User>().of(request.ctx.require('user'))
    request.ctx.tenant = 'acme'
    request.ctx.tenant = undefined
    request.ctx.user = user
    request.ctx.locale = 'de'
    request.ctx.set('user', user)
    expectEqual<AnyIn<typeof request.ctx>, never>(true)

    // Assigning another type.
    // @ts-expect-error
    request.ctx.tenant = 1

    // Unsetting a key that each request has.
    // @ts-expect-error
    request.ctx.locale = undefined

    // The request id is read-only.
    // @ts-expect-error
    request.ctx.requestId = 'other'

    // Reading an unknown key…
    // @ts-expect-error
    expectType<undefined>().of(request.ctx.tenantt)

    // …and writing one.
    // @ts-expect-error
    request.ctx.tenantt = 'acme'

    // Overwriting a method with a non-function.
    // @ts-expect-error
    request.ctx.get = 'acme'

    // request.ctx itself is read-only.
    // @ts-expect-error
    request.ctx = ctx
  })
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

  // any string
  // @ts-expect-error
  ctx.get('tenant' as string)

  // a symbol
  // @ts-expect-error
  ctx.get(Symbol.iterator)
}

export function wrongValuesAreRefused () {
  // set
  // @ts-expect-error
  ctx.set('tenant', 1)

  // set to null, which is not `undefined`
  // @ts-expect-error
  ctx.set('tenant', null)

  // run
  // @ts-expect-error
  ctx.run({ tenant: 1 }, () => {})

  // run, a part of a value
  // @ts-expect-error
  ctx.run({ user: {} }, () => {})

  // the marker instead of the value
  // @ts-expect-error
  ctx.set('locale', {} as ContextValues['locale'])

  // a key of @fastify/request-context
  // @ts-expect-error
  ctx.set('basket', [1])

  // the request id, which is read-only
  // @ts-expect-error
  ctx.set('requestId', 'other')
}

export function theKeysOptionIsTypedByTheAugmentation () {
  const accepted: ReadyMadeOptions[] = [
    {},
    { keys: {} },
    { keys: { tenant: () => undefined } },
    { keys: { tenant: async (request) => request.headers['x-tenant-id'] } },
    { keys: { tenant: { seed: async () => undefined, log: true } } },
    { keys: { locale: () => 'de', user: { log: ({ id }) => id } } },
    { keys: { basket: () => ['pears'] } },
    { requestId: { header: false } }
  ]

  const app = fastify()
  app.register(context)
  app.register(context, {
    prefix: '/v1',
    keys: {
      tenant: (request) => {
        expectType<string | undefined>().of(request.headers['x-tenant-id'])
        expectType<string>().of(request.id)
        return undefined
      }
    }
  })

  // An unknown key.
  // @ts-expect-error
  app.register(context, { keys: { tenantt: () => 'acme' } })

  // Declaring the request id as a key.
  // @ts-expect-error
  app.register(context, { keys: { requestId: () => 'acme' } })

  // A seed of another type.
  // @ts-expect-error
  app.register(context, { keys: { tenant: () => 1 } })

  // A policy whose seed is of another type.
  // @ts-expect-error
  app.register(context, { keys: { tenant: { seed: async () => 1 } } })

  // A value instead of a seed.
  // @ts-expect-error
  app.register(context, { keys: { tenant: 'acme' } })

  // An unknown option of a policy.
  // @ts-expect-error
  app.register(context, { keys: { user: { logs: true } } })

  // A mapper that reads a missing property.
  // @ts-expect-error
  app.register(context, { keys: { user: { log: (user) => user.name } } })

  // An unknown option.
  // @ts-expect-error
  app.register(context, { key: {} })

  return accepted
}
