import fastify, { type FastifyRequest } from 'fastify'
import context, { createContext, ctx, key, type Cache, type Explanation, type ImpersonateRestOptions, type PolicyRow, type RunOptions } from '../lib/index.ts'
import type { User } from './augment.ts'
import { expectEqual, expectType, type AnyIn } from './expect.ts'

declare const request: FastifyRequest
declare const user: User
const own = createContext({ tenant: key<string>(), count: key<number>({ locked: true, missing: 404 }) })

export function runTakesKnownKeysWithTheirValues () {
  ctx.run({ tenant: 'acme', user }, () => {})
  own.run({ tenant: 'acme', count: 1 }, () => {})
  own.run({ tenant: undefined }, () => {})

  // An unknown key.
  // @ts-expect-error
  ctx.run({ tenat: 'acme' }, () => {})

  // A value of another type.
  // @ts-expect-error
  ctx.run({ tenant: 1 }, () => {})

  // A key of another context.
  // @ts-expect-error
  own.run({ user }, () => {})
}

export function runTakesLimits () {
  ctx.run({}, () => {}, { timeout: 1000 })
  ctx.run({}, () => {}, { deadline: new Date(), inherit: false })
  ctx.run({}, () => {}, { deadline: Date.now(), signal: new AbortController().signal })
  expectEqual<Pick<RunOptions, 'timeout' | 'deadline' | 'signal'>, { readonly timeout?: number, readonly deadline?: Date | number, readonly signal?: AbortSignal }>(true)

  // A time with a unit.
  // @ts-expect-error
  ctx.run({}, () => {}, { timeout: '1s' })

  // A date in words.
  // @ts-expect-error
  ctx.run({}, () => {}, { deadline: '2030-01-01' })

  // A controller instead of a signal.
  // @ts-expect-error
  ctx.run({}, () => {}, { signal: new AbortController() })
}

export function rootHasTheSameCalls () {
  expectType<typeof ctx.root>().of(ctx.root.root)
  expectType<User | undefined>().of(ctx.root.get('user'))
  expectType<Cache>().of(request.ctx.root.cache)
  expectType<(id: string) => Promise<number>>().of(ctx.root.memo(async (id: string) => id.length))
  own.root.set('count', 1)

  // An unknown key.
  // @ts-expect-error
  ctx.root.set('usr', user)

  // It is a view of a scope, not a context to register.
  expectEqual<'plugin' extends keyof typeof own.root ? true : false, false>(true)
}

export function aMessageHasAnId () {
  expectType<string | undefined>().of(ctx.messageId)
  expectType<number>().of(ctx.run({}, () => 1, { messageId: JSON.parse('{}').id }))

  // It is fixed when its scope opens.
  // @ts-expect-error
  ctx.messageId = 'other'
}

export function impersonateHoldsForTheRestOfTheRequest () {
  expectType<void>().of(ctx.impersonate({ user }, { reason: 'ticket', rest: true }))
  expectType<void>().of(request.ctx.impersonate({ user, tenant: 'globex' }, { reason: 'ticket', rest: true }))
  const options: ImpersonateRestOptions = { reason: 'ticket', rest: true }
  own.impersonate({ count: 2 }, options)

  // rest: true applies to the rest of the request, not to a function.
  // @ts-expect-error
  ctx.impersonate({ user }, { reason: 'ticket', rest: true }, () => {})

  // A missing reason.
  // @ts-expect-error
  ctx.impersonate({ user }, { rest: true })

  // Neither a function nor rest: true.
  // @ts-expect-error
  ctx.impersonate({ user }, { reason: 'ticket', rest: false })
}

export function impersonateReturnsWhatItsFunctionReturns () {
  expectType<number>().of(ctx.impersonate({ user }, { reason: 'ticket' }, () => 1))
  expectType<Promise<string>>().of(request.ctx.impersonate({ user, tenant: 'globex' }, { reason: 'ticket' }, async () => 'done'))
  own.impersonate({ count: 2 }, { reason: 'ticket' }, () => {})

  // An unknown key.
  // @ts-expect-error
  ctx.impersonate({ usr: user }, { reason: 'ticket' }, () => {})

  // A value of another type.
  // @ts-expect-error
  ctx.impersonate({ user: 'ada' }, { reason: 'ticket' }, () => {})

  // A missing reason.
  // @ts-expect-error
  ctx.impersonate({ user }, {}, () => {})

  // Missing options.
  // @ts-expect-error
  ctx.impersonate({ user }, () => {})

  // Not a function.
  // @ts-expect-error
  ctx.impersonate({ user }, { reason: 'ticket' })
}

export function actorIsNeverSure () {
  expectType<User | undefined>().of(ctx.actor('user'))
  expectType<string | undefined>().of(request.ctx.actor('locale'))
  expectType<string | undefined>().of(ctx.actor('requestId'))
  expectType<number | undefined>().of(own.actor('count'))

  // An unknown key.
  // @ts-expect-error
  ctx.actor('usr')
}

export function cacheIsAMapOfUnknownValues () {
  expectType<Cache>().of(ctx.cache)
  expectType<unknown>().of(ctx.cache.get('k'))
  expectType<boolean>().of(ctx.cache.has({}))
  expectType<boolean>().of(ctx.cache.delete(1))
  ctx.cache.set('a', 1).set('b', 2)
  expectType<number>().of(ctx.cache.getOrSet('k', () => 1))
  expectType<Promise<User>>().of(ctx.cache.getOrSet(own, async () => user))
  expectEqual<AnyIn<Cache>, never>(true)

  // A value instead of a factory.
  // @ts-expect-error
  ctx.cache.getOrSet('k', 1)

  // The cache is read-only.
  // @ts-expect-error
  ctx.cache = new Map()
}

interface Find {
  (id: number): Promise<User>
  (name: string, exact: boolean): Promise<User[]>
}
declare const find: Find

export function memoKeepsTheSignature () {
  expectType<(id: string, deep?: boolean) => Promise<User>>().of(ctx.memo(async (id: string, deep?: boolean) => user))
  // Overloads.
  const found = ctx.memo(find)
  expectType<Find>().of(found)
  expectType<Promise<User>>().of(found(1))
  expectType<Promise<User[]>>().of(found('ada', true))
  // Generics.
  const listed = ctx.memo(<T extends string>(value: T): T[] => [value])
  expectType<Array<'a'>>().of(listed('a'))
  // `this`.
  expectType<(this: Date, days: number) => number>().of(ctx.memo(function (this: Date, days: number) { return this.getDate() + days }))
  request.ctx.memo(() => {})

  // An argument of another type.
  // @ts-expect-error
  found(true)

  // An overload that does not exist.
  // @ts-expect-error
  found('ada')

  // A type outside the generic constraint.
  // @ts-expect-error
  listed(1)

  // Not a function.
  // @ts-expect-error
  ctx.memo('find')
}

export function keyOfTakesTheArguments () {
  ctx.memo((query: { readonly id: string }, _page: number) => query.id, {
    keyOf: (query, page) => {
      expectType<{ readonly id: string }>().of(query)
      expectType<number>().of(page)
      return `${query.id} ${page}`
    }
  })
  ctx.memo((id: string) => id, { keyOf: () => 1 })

  // Too many arguments.
  // @ts-expect-error
  ctx.memo((id: string) => id, { keyOf: (id: string, page: number) => page })

  // Arguments of another type.
  // @ts-expect-error
  ctx.memo((id: string) => id, { keyOf: (id: number) => id })

  // Not a function.
  // @ts-expect-error
  ctx.memo((id: string) => id, { keyOf: 'id' })
}

export function workIsPutOffByFunctionsWithoutParameters () {
  expectEqual<ReturnType<typeof ctx.onEnd | typeof ctx.detach | typeof request.ctx.after>, void>(true)
  ctx.onEnd(() => {})
  ctx.detach(async () => { await ctx.run({}, async () => {}) })
  ctx.after(() => 1)

  // A promise, whose work has already started.
  // @ts-expect-error
  ctx.detach(Promise.resolve())

  // A function with a parameter.
  // @ts-expect-error
  ctx.onEnd((error: Error) => { throw error })

  // No argument.
  // @ts-expect-error
  ctx.after()
}

export function limitsAreRead () {
  expectType<AbortSignal>().of(ctx.signal)
  expectType<number | undefined>().of(request.ctx.deadline)

  // Options of run.
  // @ts-expect-error
  ctx.deadline = 1
}

export function explanationsAreTyped () {
  expectType<Explanation>().of(ctx.explain('tenant'))
  expectType<readonly PolicyRow[]>().of(own.policy())
  expectType<'set' | 'unset' | 'ended' | 'no scope'>().of(ctx.explain('user').state)
  expectEqual<AnyIn<Explanation> | AnyIn<PolicyRow>, never>(true)

  // An unknown key.
  // @ts-expect-error
  ctx.explain('usr')
}

export async function routesRequireKnownKeys () {
  const app = fastify()
  await app.register(context, { keys: { user: { locked: true, missing: 401 } }, closeTimeout: 5000 })
  app.get('/', { config: { context: { require: ['tenant', 'user', 'requestId'] } } }, async (request) => request.ctx.require('user'))
  // The hooks of the route have the same request type and run before the check, so the property is not narrowed.
  app.get('/property', { config: { context: { require: ['tenant'] } } }, async (request) => {
    expectEqual<typeof request.ctx.tenant, string | undefined>(true)
    return expectType<string>().of(request.ctx.require('tenant'))
  })
  app.get('/none', { config: { context: {} } }, async () => 'ok')

  // An unknown key.
  // @ts-expect-error
  app.get('/a', { config: { context: { require: ['usr'] } } }, async () => 'ok')

  // A key outside a list.
  // @ts-expect-error
  app.get('/b', { config: { context: { require: 'user' } } }, async () => 'ok')

  // A status that is not a number.
  // @ts-expect-error
  key<string>({ missing: '401' })

  // A lock that is not a boolean.
  // @ts-expect-error
  key<string>({ locked: 'yes' })

  // A limit that is not a number.
  // @ts-expect-error
  await app.register(context, { closeTimeout: '5s' })
}
