import { AsyncResource } from 'node:async_hooks'
import { PassThrough } from 'node:stream'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import t from 'tap'
import { createContext, key } from '../../../lib/index.ts'
import { routeHooks } from '../../../lib/patches/route-hooks.ts'
import { fastifyHas, gate, listen, turns, type Tap } from '../../support/support.ts'

const ctx = createContext({ tenant: key<string>({ seed: (request) => request.headers['x-tenant-id'] }) })

/** Runs a function in the scope of another request, like a pool that both requests use. */
const elsewhere = ctx.run({ tenant: 'another' }, () => {
  const pool = new AsyncResource('pool')
  return <R>(fn: () => R): R => pool.runInAsyncScope(fn)
})

/** Runs a function later and outside any scope, like a timer that started before the request. */
const outside = (fn: () => void): void => { setImmediate(ctx.bind(fn)) }
const early = ctx.bind(outside)

/** A foreign thenable that calls back in the scope of another request. */
const foreign = (value?: unknown): PromiseLike<unknown> => ({ then: (resolve: (value: unknown) => unknown) => { elsewhere(() => resolve(value)) } }) as never

async function start (t: Tap, routes: (app: FastifyInstance) => void, options: object = {}): Promise<(path?: string, init?: RequestInit) => Promise<Response>> {
  const app: FastifyInstance = Fastify(options)
  await app.register(ctx.plugin)
  routes(app)
  const { url } = await listen(t, app)
  return (path = '/', init) => fetch(url + path, { headers: { 'x-tenant-id': 'acme' }, ...init })
}

const three = ['onRequest', 'preValidation', 'preHandler', 'onResponse'] as const
const four = ['preParsing', 'preSerialization', 'onSend', 'onError'] as const

t.test('the pool of these tests does run callbacks in the scope of another request', async (t) => {
  t.equal(elsewhere(() => ctx.get('tenant')), 'another')
  t.equal(await foreign('value'), 'value')
})

/** Each way in which a hook can continue from code outside the scope of its request. */
const ways: Record<string, { readonly three: (...args: any[]) => unknown, readonly four: (...args: any[]) => unknown }> = {
  'calls back in the scope of another request': {
    three: (_request: FastifyRequest, _reply: FastifyReply, done: () => void) => { elsewhere(done) },
    four: (_request: FastifyRequest, _reply: FastifyReply, payload: unknown, done: (error: null, payload: unknown) => void) => { elsewhere(() => { done(null, payload) }) }
  },
  'calls back outside any scope': {
    three: (_request: FastifyRequest, _reply: FastifyReply, done: () => void) => { early(done) },
    four: (_request: FastifyRequest, _reply: FastifyReply, payload: unknown, done: (error: null, payload: unknown) => void) => { early(() => { done(null, payload) }) }
  },
  'returns a thenable of foreign code': {
    three: (_request: FastifyRequest, _reply: FastifyReply) => foreign(),
    four: (_request: FastifyRequest, _reply: FastifyReply, payload: unknown) => foreign(payload)
  },
  'awaits one': {
    three: async () => { await foreign() },
    four: async (_request: FastifyRequest, _reply: FastifyReply, payload: unknown) => { await foreign(); return payload }
  }
}

for (const [what, way] of Object.entries(ways)) {
  t.test(`each hook that ${what}: later hooks and the handler run in the scope of their own request`, async (t) => {
    const seen: Array<[string, unknown]> = []
    const done = gate()
    const call = await start(t, (app) => {
      for (const name of three) {
        app.addHook(name as 'preHandler', way.three as never)
        app.addHook(name as 'preHandler', async () => { seen.push([name, ctx.get('tenant')]) })
      }
      for (const name of four) {
        // onError ignores what it calls back with and returns.
        app.addHook(name as 'onSend', (name === 'onError' ? way.four.length > 3 ? (a: unknown, b: unknown, c: unknown, done: () => void) => way.four(a, b, c, () => { done() }) : way.three : way.four) as never)
        app.addHook(name as 'onSend', async (_request, _reply, payload) => {
          seen.push([name, ctx.get('tenant')])
          return name === 'onError' ? undefined : payload
        })
      }
      app.addHook('onResponse', (_request, _reply, next) => { next(); done.open() })
      app.get('/', async () => {
        seen.push(['handler', ctx.get('tenant')])
        return { ok: true }
      })
      app.get('/error', async () => { throw new Error('broken') })
    })
    t.same(await (await call()).json(), { ok: true })
    t.equal((await call('/error')).status, 500)
    await done.promise
    await turns()
    t.same(seen.filter(([, tenant]) => tenant !== 'acme'), [])
    t.same(new Set(seen.map(([name]) => name)), new Set([...three, ...four, 'handler']))
  })
}

t.test('a handler that responds from other code: the response hooks run in the scope', async (t) => {
  const seen: unknown[] = []
  const call = await start(t, (app) => {
    app.addHook('onSend', async () => { seen.push(ctx.get('tenant')) })
    app.setErrorHandler(async (error: Error) => ({ error: error.message, tenant: ctx.get('tenant') }))
    app.setNotFoundHandler(async () => ({ none: ctx.get('tenant') }))
    app.get('/send', (_request, reply) => { elsewhere(() => { reply.send('sent') }) })
    app.get('/error', (_request, reply) => { elsewhere(() => { reply.send(new Error('broken')) }) })
    app.get('/thenable', () => foreign('returned') as never)
    app.get('/none', (_request, reply) => { elsewhere(() => { reply.callNotFound() }) })
  })
  t.equal(await (await call('/send')).text(), 'sent')
  t.same(await (await call('/error')).json(), { error: 'broken', tenant: 'acme' })
  t.equal(await (await call('/thenable')).text(), 'returned')
  t.same(await (await call('/none')).json(), { none: 'acme' })
  t.same(await (await call('/nowhere')).json(), { none: 'acme' })
  t.same(seen, Array(5).fill('acme'))
})

t.test('a stream sent as the response but fed by another request: its listeners run in the scope', async (t) => {
  const seen: unknown[] = []
  const stream = elsewhere(() => new PassThrough())
  const begun = gate()
  const call = await start(t, (app) => {
    app.addHook('onSend', async (_request, _reply, payload) => {
      for (const event of ['end', 'close']) (payload as PassThrough).on(event, () => { seen.push([event, ctx.get('tenant')]) })
      begun.open()
    })
    app.get('/', async (_request, reply) => reply.send(stream))
  })
  const answer = call()
  await begun.promise
  elsewhere(() => {
    stream.write('a')
    stream.end('b')
  })
  t.equal(await (await answer).text(), 'ab')
  t.same(new Set(seen.map((each) => JSON.stringify(each))), new Set(['["end","acme"]', '["close","acme"]']))
})

t.test(fastifyHas('handlerTimeout') ? 'a handlerTimeout, whose timer is older than the scope: its hooks and its answer are in the scope' : 'a handlerTimeout that Fastify does not know: the hooks of the late answer are in the scope', async (t) => {
  const seen: unknown[] = []
  const done = gate()
  const work = gate()
  t.teardown(() => { work.open() })
  const call = await start(t, (app) => {
    app.addHook('onError', async () => { seen.push(['onError', ctx.get('tenant')]) })
    app.addHook('onSend', async () => { seen.push(['onSend', ctx.get('tenant')]) })
    app.addHook('onResponse', (_request, _reply, next) => { seen.push(['onResponse', ctx.get('tenant')]); next(); done.open() })
    app.get('/', { handlerTimeout: 20 }, async (request) => {
      if (fastifyHas('handlerTimeout')) request.signal.addEventListener('abort', () => { seen.push(['abort', ctx.get('tenant')]) })
      else setTimeout(work.open, 60)
      await work.promise
      return 'late'
    })
  })
  t.equal((await call()).status, fastifyHas('handlerTimeout') ? 503 : 200)
  await done.promise
  t.same(seen.sort(), [...fastifyHas('handlerTimeout') ? [['abort', 'acme'], ['onError', 'acme']] : [], ['onResponse', 'acme'], ['onSend', 'acme']])
})

t.test('onTimeout and onRequestAbort run in the scope, as do the next hooks of their kind', async (t) => {
  const seen: unknown[] = []
  const done = gate()
  const work = gate()
  const app = Fastify({ connectionTimeout: 50 })
  await app.register(ctx.plugin)
  app.addHook('onTimeout', (_request, _reply, next) => { seen.push(['onTimeout', ctx.get('tenant')]); elsewhere(next) })
  app.addHook('onTimeout', async () => { seen.push(['onTimeout, later', ctx.get('tenant')]) })
  app.addHook('onRequestAbort', (_request, next) => { seen.push(['onRequestAbort', ctx.get('tenant')]); elsewhere(next) })
  app.addHook('onRequestAbort', (_request, next) => { seen.push(['onRequestAbort, later', ctx.get('tenant')]); next(); done.open() })
  app.get('/', async () => { await work.promise })
  const { url } = await listen(t, app)
  await t.rejects(fetch(url, { headers: { 'x-tenant-id': 'acme' } }))
  await done.promise
  t.same(seen.sort(), [['onRequestAbort', 'acme'], ['onRequestAbort, later', 'acme'], ['onTimeout', 'acme'], ['onTimeout, later', 'acme']].sort())
  work.open()
})

t.test('hooks before ours, and requests that they answer, are not changed', async (t) => {
  const seen: unknown[] = []
  const app = Fastify()
  app.addHook('onRequest', (request, reply, done) => {
    seen.push(['callback', ctx.get('tenant')])
    if (request.headers['x-stop'] === '1') reply.send('stopped')
    else if (request.headers['x-stop'] === 'none') reply.callNotFound()
    else done()
  })
  app.addHook('onRequest', async (request, reply) => {
    seen.push(['async', ctx.get('tenant')])
    if (request.headers['x-stop'] === '2') return reply.send('stopped')
  })
  await app.register(ctx.plugin)
  let done = gate()
  app.addHook('onSend', async (request) => { seen.push(['onSend', ctx.get('tenant')]) })
  app.addHook('onSend', (_request, _reply, payload, next) => { next(null, payload) })
  app.addHook('onResponse', (_request, _reply, next) => { seen.push(['onResponse', ctx.get('tenant')]); next(); done.open() })
  app.setNotFoundHandler(async () => `none of ${ctx.get('tenant')}`)
  app.get('/', async () => ctx.get('tenant'))
  const { url } = await listen(t, app)
  for (const [stop, text, tenant, hooks] of [['0', 'acme', 'acme', 2], ['1', 'stopped', undefined, 1], ['2', 'stopped', undefined, 2], ['none', 'none of undefined', undefined, 1], ['0', 'acme', 'acme', 2]] as const) {
    seen.length = 0
    done = gate()
    t.equal(await (await fetch(url, { headers: { 'x-tenant-id': 'acme', 'x-stop': stop } })).text(), text)
    await done.promise
    t.same(seen, [['callback', undefined], ['async', undefined]].slice(0, hooks).concat([['onSend', tenant], ['onResponse', tenant]]), stop)
  }
})

t.test('a 404 handler shared with uncovered routes', async (t) => {
  const app = Fastify()
  app.setNotFoundHandler(async () => ({ none: ctx.get('tenant') ?? null }))
  app.register(async (child) => {
    await child.register(ctx.plugin)
    child.get('/in', (_request, reply) => { reply.callNotFound() })
  })
  app.get('/out', (_request, reply) => { reply.callNotFound() })
  const { url } = await listen(t, app)
  const ask = async (path: string): Promise<unknown> => await (await fetch(url + path, { headers: { 'x-tenant-id': 'acme' } })).json()
  for (let i = 0; i < 2; i++) {
    t.same(await ask('/in'), { none: 'acme' })
    t.same(await ask('/out'), { none: null })
  }
})

t.test('a reply with a custom send: the custom one is called, and the next reply has the default again', async (t) => {
  const sent: unknown[] = []
  const app = Fastify()
  app.addHook('onRequest', async (request, reply) => {
    if (request.headers['x-wrap'] === undefined) return
    const { send } = reply
    reply.send = function (payload) {
      sent.push([payload, ctx.get('tenant')])
      return send.call(this, payload)
    }
  })
  await app.register(ctx.plugin)
  app.addHook('onSend', async () => { sent.push(['onSend', ctx.get('tenant')]) })
  app.get('/', (_request, reply) => { elsewhere(() => { reply.send('ok') }) })
  const { url } = await listen(t, app)
  for (const wrap of [false, true, false, true]) {
    sent.length = 0
    t.equal(await (await fetch(url, { headers: { 'x-tenant-id': 'acme', ...(wrap ? { 'x-wrap': '1' } : {}) } })).text(), 'ok')
    t.same(sent, [...(wrap ? [['ok', 'acme']] : []), ['onSend', 'acme']])
  }
})

t.test('hooks get the arguments from Fastify, and their results apply', async (t) => {
  const call = await start(t, (app) => {
    app.addHook('preParsing', async (request, _reply, payload) => {
      request.headers['x-parsed'] = String(typeof payload.pipe)
      return payload
    })
    app.addHook('preSerialization', (_request, _reply, payload, done) => { done(null, { ...payload as object, more: 1 }) })
    app.addHook('onSend', (_request, _reply, payload, done) => { done(null, `${payload as string}!`) })
    app.addHook('preHandler', function (this: FastifyInstance, request, reply, done) {
      reply.header('x-this', String(typeof this.inject))
      done(request.headers['x-fail'] === undefined ? undefined : Object.assign(new Error('refused'), { statusCode: 403 }))
    })
    app.post('/', async (request) => ({ body: request.body, parsed: request.headers['x-parsed'] }))
    app.post('/sync', () => ({ sync: true }) as never)
  })
  const post = { method: 'POST', body: '"hi"', headers: { 'content-type': 'application/json' } }
  const answer = await call('/', post)
  t.equal(await answer.text(), '{"body":"hi","parsed":"function","more":1}!')
  t.equal(answer.headers.get('x-this'), 'function')
  t.equal(await (await call('/sync', post)).text(), '{"sync":true,"more":1}!')
  t.equal((await call('/', { ...post, headers: { ...post.headers, 'x-fail': '1' } })).status, 403)
})

for (const name of ['preParsing', 'preSerialization', 'onSend'] as const) {
  t.test(`${name}: a callback hook that throws is answered as without the plugin, and its request ends once`, async (t) => {
    const answers: unknown[] = []
    const seen: unknown[] = []
    for (const covered of [false, true]) {
      const app = Fastify()
      if (covered) await app.register(ctx.plugin)
      if (covered) app.addHook('onRequest', async () => { ctx.onEnd(() => { seen.push(['ended', ctx.get('tenant')]) }) })
      app.addHook(name, ((_request: unknown, _reply: unknown, payload: unknown, done: (error: null, payload: unknown) => void) => {
        // Includes the response of the error handler.
        if (typeof payload === 'string' && payload.includes('thrown')) return done(null, payload)
        throw new Error('thrown')
      }) as never)
      app.setErrorHandler(async (error: Error) => {
        if (covered) seen.push(['error handler', ctx.get('tenant')])
        return `answer to ${error.message}`
      })
      app.post('/', async () => ({ a: 1 }))
      const { url } = await listen(t, app)
      const response = await fetch(url, { method: 'POST', headers: { 'x-tenant-id': 'acme', 'content-type': 'application/json' }, body: '{"b":2}' })
      answers.push([response.status, await response.text()])
    }
    t.same(answers[1], answers[0])
    await new Promise((resolve) => { setTimeout(resolve, 30) })
    t.same(seen, [['error handler', 'acme'], ['ended', 'acme']])
  })
}

t.test('onRequestAbort: a hook that throws does not keep the request open', async (t) => {
  const ended = gate<unknown>()
  const app = Fastify()
  await app.register(ctx.plugin)
  app.addHook('onRequestAbort', () => { throw new Error('thrown') })
  app.get('/', async () => {
    ctx.onEnd(() => { ended.open(ctx.get('tenant')) })
    abort.abort()
    await turns()
    return 'late'
  })
  const abort = new AbortController()
  const { url } = await listen(t, app)
  await t.rejects(fetch(url, { headers: { 'x-tenant-id': 'acme' }, signal: abort.signal }))
  t.equal(await ended.promise, 'acme')
})

t.test('a handler that two routes share is wrapped once, and put back', async (t) => {
  const handler = async (): Promise<string> => 'ok'
  const [first, second] = [{ handler }, { handler }]
  const undo = routeHooks.install(first as never, true)!
  t.not(first.handler, handler)
  second.handler = first.handler
  const undoSecond = routeHooks.install(second as never, true)!
  t.equal(second.handler, first.handler)
  undoSecond()
  undo()
  t.equal(first.handler, handler)
})

t.test('a request that fails or is aborted before its scope opens: error handlers and onRequestAbort hooks run as before', async (t) => {
  const seen: unknown[] = []
  const aborted = gate()
  const app = Fastify()
  app.addHook('onRequest', async (request) => {
    if (request.headers['x-early'] === 'fail') throw new Error('early')
    if (request.headers['x-early'] === 'wait') await aborted.promise
  })
  await app.register(ctx.plugin)
  app.addHook('onRequestAbort', (_request, done) => { seen.push(['onRequestAbort', ctx.get('tenant')]); done(); aborted.open() })
  app.setErrorHandler(async (error: Error) => { seen.push([error.message, ctx.get('tenant')]); return 'failed' })
  app.get('/', async () => 'ok')
  const { url } = await listen(t, app)
  // The first request wraps the hooks of the route.
  t.equal(await (await fetch(url, { headers: { 'x-tenant-id': 'acme' } })).text(), 'ok')
  t.equal(await (await fetch(url, { headers: { 'x-tenant-id': 'acme', 'x-early': 'fail' } })).text(), 'failed')
  const leaving = new AbortController()
  const left = fetch(url, { headers: { 'x-tenant-id': 'acme', 'x-early': 'wait' }, signal: leaving.signal })
  setTimeout(() => { leaving.abort() }, 30)
  await t.rejects(left)
  await aborted.promise
  t.same(seen, [['early', undefined], ['onRequestAbort', undefined]])
})
