import { EventEmitter } from 'node:events'
import { Readable } from 'node:stream'
import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import { pino } from 'pino'
import { ctx, type RunOptions } from '../lib/index.ts'
import { expectEqual, expectType, type AnyIn } from './expect.ts'

declare const request: FastifyRequest

export function runReturnsWhatItsFunctionReturns () {
  const sync = ctx.run({ tenant: 'acme' }, () => 1)
  expectType<number>().of(sync)
  const promise = ctx.run({ tenant: 'acme' }, async () => 'done')
  expectType<Promise<string>>().of(promise)
  const nothing = ctx.run({}, () => {})
  expectType<void>().of(nothing)
  const ofRequest = request.ctx.run({ tenant: 'acme' }, () => new Date(), { inherit: false })
  expectType<Date>().of(ofRequest)
  // A root may choose its id; a key set to undefined hides the outer value.
  ctx.run({ requestId: 'job-1', tenant: undefined }, () => {})

  // Not a function.
  // @ts-expect-error
  ctx.run({ tenant: 'acme' })

  // Missing values.
  // @ts-expect-error
  ctx.run(() => {})

  // A function with a parameter.
  // @ts-expect-error
  ctx.run({}, (tenant: string) => tenant)

  // A request id that is not a string.
  // @ts-expect-error
  ctx.run({ requestId: 1 }, () => {})

  // An unknown option.
  // @ts-expect-error
  ctx.run({}, () => {}, { inherits: false })

  expectEqual<RunOptions['inherit'], boolean | undefined>(true)
}

export function bindKeepsTheSignature () {
  const bound = ctx.bind((a: string, b?: number): boolean => a.length === b)
  expectType<(a: string, b?: number) => boolean>().of(bound)
  const method = ctx.bind(function (this: Date, days: number) { return this.getDate() + days })
  expectType<(this: Date, days: number) => number>().of(method)
  const generic = ctx.bind(<T>(value: T): T[] => [value])
  expectType<string[]>().of(generic('a' as string))
  setTimeout(ctx.bind(() => {}), 1)

  // An argument of another type.
  // @ts-expect-error
  bound(1)

  // Not a function.
  // @ts-expect-error
  ctx.bind('fn')
}

export function snapshotRunsAnyFunction () {
  const inScope = ctx.snapshot()
  const length = inScope((text: string, times: number) => text.length * times, 'abc', 2)
  expectType<number>().of(length)
  const promise = inScope(async () => 'done')
  expectType<Promise<string>>().of(promise)

  // An argument of another type.
  // @ts-expect-error
  inScope((text: string) => text.length, 1)

  // A missing argument.
  // @ts-expect-error
  inScope((text: string) => text.length)
}

export function bindEmitterReturnsTheSameType () {
  class Queue extends EventEmitter { readonly size = 0 }
  expectType<Queue>().of(ctx.bindEmitter(new Queue()))
  expectType<Readable>().of(ctx.bindEmitter(Readable.from([])))

  // Not an event emitter.
  // @ts-expect-error
  ctx.bindEmitter({})
}

export function loggersAreTyped () {
  expectType<FastifyBaseLogger>().of(ctx.log)
  expectType<FastifyBaseLogger>().of(request.ctx.log)
  ctx.log.info({ order: 1 }, 'deep')
  ctx.log.child({ part: 'billing' }).warn('late')
  expectType<Record<string, unknown>>().of(ctx.mixin())
  pino({ mixin: ctx.mixin })

  // An unknown level.
  // @ts-expect-error
  ctx.log.shout('deep')

  // The logger is read-only.
  // @ts-expect-error
  ctx.log = pino()
}

export function nothingIsAny () {
  expectEqual<AnyIn<typeof ctx>, never>(true)
  expectEqual<AnyIn<typeof request.ctx>, never>(true)
  expectType<unknown>().of(ctx.run({}, (): unknown => 1))
}
