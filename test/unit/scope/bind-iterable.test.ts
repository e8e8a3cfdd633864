import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import t from 'tap'
import { createContext, key } from '../../../lib/index.ts'
import { listen } from '../../support/support.ts'

const ctx = createContext({ tenant: key<string>() })

const inAcme = <R>(fn: () => R): R => ctx.run({ tenant: 'acme' }, fn)
const inGlobex = <R>(fn: () => R): R => ctx.run({ tenant: 'globex' }, fn)

/** Records the tenant at each step of its body, and returns what it receives. */
function * numbers (seen: unknown[]): Generator<number, string, string | undefined> {
  const sent: unknown[] = []
  try {
    for (let i = 0; ; i++) {
      seen.push(ctx.get('tenant'))
      const answer = yield i
      sent.push(answer)
      if (answer === 'end') return sent.join()
    }
  } catch (error) {
    seen.push(ctx.get('tenant'))
    return (error as Error).message
  } finally {
    seen.push(ctx.get('tenant'))
  }
}

async function * numbersLater (seen: unknown[]): AsyncGenerator<number, string, string | undefined> {
  const sent: unknown[] = []
  try {
    for (let i = 0; ; i++) {
      await sleep(1)
      seen.push(ctx.get('tenant'))
      const answer = yield i
      sent.push(answer)
      if (answer === 'end') return sent.join()
    }
  } catch (error) {
    seen.push(ctx.get('tenant'))
    return (error as Error).message
  } finally {
    await null
    seen.push(ctx.get('tenant'))
  }
}

t.test('a bound generator: its body runs in the scope in which it was bound, and values pass in both directions', async (t) => {
  const seen: unknown[] = []
  const start = (): Generator<number, string, string | undefined> => inAcme(() => ctx.bindIterable(numbers(seen)))
  inGlobex(() => {
    const generator = start()
    t.same([generator.next(), generator.next('a'), generator.next('end'), generator.next()], [{ value: 0, done: false }, { value: 1, done: false }, { value: 'a,end', done: true }, { value: undefined, done: true }])
    t.same(seen.splice(0), ['acme', 'acme', 'acme'])

    const returned = start()
    returned.next()
    t.same(returned.return('early'), { value: 'early', done: true })
    const thrown = start()
    thrown.next()
    t.same(thrown.throw(new Error('failed')), { value: 'failed', done: true })
    t.same(seen.splice(0), ['acme', 'acme', 'acme', 'acme', 'acme'])

    for (const number of start()) {
      t.equal(ctx.get('tenant'), 'globex')
      if (number === 1) break
    }
    t.same(seen.splice(0), ['acme', 'acme', 'acme'])
    const own = start()
    t.equal(own[Symbol.iterator](), own)
    t.equal(Symbol.asyncIterator in own, false)
  })
  inGlobex(() => { numbers(seen).next() })
  t.same(seen, ['globex'], 'an unbound generator runs in the scope of its consumer')
})

t.test('a bound async generator: concurrent calls wait for each other, and the consumer keeps its own scope', async (t) => {
  const seen: unknown[] = []
  const start = (): AsyncGenerator<number, string, string | undefined> => inAcme(() => ctx.bindIterable(numbersLater(seen)))
  await inGlobex(async () => {
    const generator = start()
    t.same(await Promise.all([generator.next(), generator.next('a'), generator.next('end')]), [{ value: 0, done: false }, { value: 1, done: false }, { value: 'a,end', done: true }])
    t.equal(ctx.get('tenant'), 'globex')
    t.same(seen.splice(0), ['acme', 'acme', 'acme'])

    const thrown = start()
    await thrown.next()
    t.same(await thrown.throw(new Error('failed')), { value: 'failed', done: true })
    t.same(seen.splice(0), ['acme', 'acme', 'acme'])

    for await (const number of start()) {
      t.equal(ctx.get('tenant'), 'globex')
      if (number === 1) break
    }
    t.same(seen.splice(0), ['acme', 'acme', 'acme'])
    const own = start()
    t.equal(own[Symbol.asyncIterator](), own)
    t.equal(Symbol.iterator in own, false)
  })
})

t.test('two consumers of one bound generator: its body sees neither of them', async (t) => {
  const seen: unknown[] = []
  const shared = inAcme(() => ctx.bindIterable(numbersLater(seen)))
  await Promise.all([inGlobex(() => shared.next()), ctx.run({ tenant: 'initech' }, () => shared.next()), shared.next()])
  t.same(seen, ['acme', 'acme', 'acme'])
})

t.test('an error thrown by the body reaches the consumer', async (t) => {
  const failing = inAcme(() => ctx.bindIterable((function * (): Generator<never> { throw new Error(`of ${ctx.get('tenant')}`) })()))
  t.throws(() => failing.next(), { message: 'of acme' })
  const later = inAcme(() => ctx.bindIterable((async function * (): AsyncGenerator<never> { throw new Error(`of ${ctx.get('tenant')}`) })()))
  await t.rejects(later.next(), { message: 'of acme' })
})

t.test('an iterable that is not an iterator: each of its iterators runs in the scope and gains no method', async (t) => {
  const seen: unknown[] = []
  const look = (): void => { seen.push(ctx.get('tenant')) }
  class Pages {
    [Symbol.iterator] (): Iterator<number> {
      look()
      const pages = this.#pages.values()
      return { next: () => { look(); return pages.next() } }
    }

    async * [Symbol.asyncIterator] (): AsyncGenerator<string> {
      look()
      for (const page of this.#pages) yield `page ${page}`
    }

    readonly #pages = [1, 2]
  }
  const pages = inAcme(() => ctx.bindIterable(new Pages()))
  await inGlobex(async () => {
    t.same([...pages], [1, 2])
    t.same([...pages], [1, 2], 'again')
    const parts: string[] = []
    for await (const part of pages) parts.push(part)
    t.same(parts, ['page 1', 'page 2'])
    const iterator = pages[Symbol.iterator]()
    t.same([iterator.return, iterator.throw], [undefined, undefined])
  })
  t.same(new Set(seen), new Set(['acme']))
  const bare = inAcme(() => ctx.bindIterable({ [Symbol.asyncIterator]: (): AsyncIterator<unknown> => ({ next: async () => ({ value: ctx.get('tenant'), done: false }) }) }))
  t.same((await inGlobex(() => bare[Symbol.asyncIterator]().next())).value, 'acme')
  t.same([...ctx.bindIterable('ab'), ...ctx.bindIterable(new Map([[1, 2]])), ...ctx.bindIterable([3])], ['a', 'b', [1, 2], 3])
})

t.test('the helper methods of iterators in Node work if Node has them', async (t) => {
  const seen: unknown[] = []
  const generator = inAcme(() => ctx.bindIterable(numbers(seen)))
  t.equal('map' in generator, 'map' in numbers([]))
  if ('take' in generator) {
    t.same(inGlobex(() => [...(generator as unknown as { take: (n: number) => Iterable<number> }).take(2)]), [0, 1])
    t.same(new Set(seen), new Set(['acme']))
  }
  function * delegated (): Generator<number, string, string | undefined> {
    return yield * inAcme(() => ctx.bindIterable(numbers(seen)))
  }
  const outer = inGlobex(delegated)
  outer.next()
  t.same(outer.next('end'), { value: 'end', done: true })
})

t.test('outside a scope an iterable is bound to no scope', async (t) => {
  const seen: unknown[] = []
  const generator = ctx.bindIterable(numbers(seen))
  inGlobex(() => generator.next())
  t.same(seen, [undefined])
})

t.test('bindIterable refuses a value that is not iterable', async (t) => {
  for (const other of [undefined, null, 7, {}, { next () {} }, function * () {}, async function * () {}]) {
    t.throws(() => ctx.bindIterable(other as never), { code: 'FST_CTX_INVALID_ARGUMENT', message: 'ctx.bindIterable takes an iterable or an async iterable: of a generator function, what it returns' })
  }
})

t.test('on sockets: a generator read by another request and a generator sent as the response, by ctx and by request.ctx', async (t) => {
  const seen: unknown[] = []
  const shared: Array<AsyncGenerator<number, string, string | undefined>> = []
  const app = Fastify()
  await app.register(ctx.plugin)
  app.addHook('onRequest', async (request) => { ctx.set('tenant', request.headers['x-tenant'] as string) })
  app.get('/open', async (request) => { shared.push((request as any).ctx.bindIterable(numbersLater(seen))); return 'ok' })
  app.get('/read', async () => { await shared[0]!.next(); return ctx.get('tenant') })
  app.get('/send', async (_request, reply) => {
    const rows = async function * (): AsyncGenerator<string> {
      for (let i = 0; i < 3; i++) {
        await sleep(5)
        yield `${ctx.get('tenant')} `
      }
    }
    const source = ctx.bindIterable(rows())
    return inGlobex(() => reply.send(Readable.from(source)))
  })
  const { url } = await listen(t, app)
  // The first request waits, so that its scope is still open when the other one reads.
  const get = async (path: string, tenant: string): Promise<string> => (await fetch(url + path, { headers: { 'x-tenant': tenant } })).text()
  t.equal(await get('/send', 'acme'), 'acme acme acme ')
  await get('/open', 'acme')
  t.equal(await get('/read', 'initech'), 'initech')
  t.same(seen, [undefined], 'the values of an ended request are gone, and the reader\'s values never replace them')
})

t.test('a bound generator works as the source of a pipeline', async (t) => {
  const source = inAcme(() => ctx.bindIterable((async function * () { yield `${ctx.get('tenant')}`; await null; yield ` ${ctx.get('tenant')}` })()))
  const parts: string[] = []
  await inGlobex(() => pipeline(source, async function (parts$) { for await (const part of parts$) parts.push(part) }))
  t.same(parts, ['acme', ' acme'])
  t.equal(await inGlobex(() => text(Readable.from(inAcme(() => ctx.bindIterable(['a', 'b']))))), 'ab')
})
