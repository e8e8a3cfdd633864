import { afterEach as afterEachOfJest, test as testOfJest } from '@jest/globals'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import fastify from 'fastify'
import { beforeEach, test, type TestContext } from 'node:test'
import { pino } from 'pino'
import t from 'tap'
import { test as testOfVitest, type TestContext as TestContextOfVitest } from 'vitest'
import { createContext, key } from '../lib/index.ts'
import { assertIsolated, withContext, type Crossing, type Isolation, type IsolationError, type MakeRequest } from '../lib/testing.ts'
import { expectEqual, expectType, type AnyIn } from './expect.ts'

const ctx = createContext({ tenant: key<string>(), shard: key<number>() })

export function aBodyKeepsItsParametersAndResult () {
  const body = withContext({ tenant: 'acme' }, async (t: TestContext, times?: number) => `${t.name} ${times}`)
  expectType<(t: TestContext, times?: number) => Promise<string>>().of(body)
  expectType<() => number>().of(withContext(ctx, { shard: 1, tenant: undefined }, () => 1))
  expectType<(this: Date) => number>().of(withContext({}, function (this: Date) { return this.getDate() }))
}

export function theParametersOfTheRunnerNeedNoAnnotation () {
  test('node:test', withContext({ tenant: 'acme' }, async (t) => { expectType<TestContext>().of(t) }))
  test('node:test, its callback', withContext(ctx, { tenant: 'acme' }, (_t, done) => { done() }))
  beforeEach(withContext({ tenant: 'acme' }, () => {}))
  t.test('tap', withContext({ tenant: 'acme' }, async (t) => { expectType<string>().of(t.name) }))
  // tap's own `test` has a generic parameter for its callback, which TypeScript cannot infer here.
  testOfVitest('vitest', withContext({ tenant: 'acme' }, async ({ task }: TestContextOfVitest) => { expectType<string>().of(task.name) }))
  testOfJest('jest', withContext({ tenant: 'acme' }, async () => {}))
  testOfJest('jest, its callback', withContext({ tenant: 'acme' }, (done) => { done() }))
  afterEachOfJest(withContext({ tenant: 'acme' }, async () => {}))
}

export function wrongValuesAndFunctionsAreRefused () {
  // An unknown key of the ready-made context.
  // @ts-expect-error
  withContext({ tenantt: 'acme' }, () => {})

  // A value of another type.
  // @ts-expect-error
  withContext({ tenant: 1 }, () => {})

  // An unknown key of a custom context.
  // @ts-expect-error
  withContext(ctx, { basket: [] }, () => {})

  // A value of another type.
  // @ts-expect-error
  withContext(ctx, { shard: '1' }, () => {})

  // Not a function.
  // @ts-expect-error
  withContext(ctx, { shard: 1 })

  // Missing values.
  // @ts-expect-error
  withContext(() => {})

  // Not a function.
  // @ts-expect-error
  withContext({}, 'body')

  // Not a context.
  // @ts-expect-error
  withContext({ run () {} }, { tenant: 'acme' }, () => {})
}

export async function anyApplicationIsTaken () {
  const make: MakeRequest = (canary) => ({ url: `/${canary}`, headers: { a: ['b', 'c'] } })
  expectType<Promise<Isolation>>().of(assertIsolated(fastify(), make))
  await assertIsolated(fastify({ https: {} }), [make])
  await assertIsolated(fastify({ http2: true }), [make, async (canary) => ({ method: 'POST', url: '/', body: { canary } })] as const)
  await assertIsolated(fastify({ loggerInstance: pino() }), make, { seed: 1, rounds: 2, concurrency: 3, timeout: 4, loggers: [pino()] })
  await assertIsolated(fastify().withTypeProvider<TypeBoxTypeProvider>(), make, { ignore: ({ where, at }) => where === 'header' && at === 'x-all' })

  const { seed, requests, statuses } = await assertIsolated(fastify(), make)
  expectType<number>().of(seed + requests)
  expectType<number | undefined>().of(statuses[200])
}

export function wrongRequestsAndOptionsAreRefused () {
  const app = fastify()

  // A request without a function, which has no canary.
  // @ts-expect-error
  assertIsolated(app, { url: '/' })

  // A request without a url.
  // @ts-expect-error
  assertIsolated(app, (canary) => ({ headers: { canary } }))

  // A header of another type.
  // @ts-expect-error
  assertIsolated(app, (canary) => ({ url: '/', headers: { canary, age: 1 } }))

  // An unknown option.
  // @ts-expect-error
  assertIsolated(app, (canary) => ({ url: canary }), { sed: 1 })

  // Not an application.
  // @ts-expect-error
  assertIsolated({}, (canary) => ({ url: canary }))
}

export function anErrorHasWhatItsReportSays (error: IsolationError) {
  expectType<number>().of(error.seed)
  expectType<readonly Crossing[]>().of(error.crossings)
  expectEqual<Crossing['where'], 'body' | 'header' | 'log' | 'value'>(true)
  expectEqual<AnyIn<Crossing>, never>(true)
  expectEqual<AnyIn<Isolation>, never>(true)
}
