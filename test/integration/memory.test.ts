import { execFile } from 'node:child_process'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { setImmediate as turn } from 'node:timers/promises'
import Fastify, { type FastifyInstance } from 'fastify'
import pino from 'pino'
import t from 'tap'
import { createContext, key } from '../../lib/index.ts'
import { Lines, type Tap } from '../support/support.ts'
import { LOADER, OUTSIDE } from '../support/processes.ts'

const CHILD = fileURLToPath(new URL('memory-child.ts', import.meta.url))

/** Runs scenarios of memory-child.ts in a separate process without the test runner. */
async function measure<R> (...scenarios: string[]): Promise<Record<string, R>> {
  const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', ...LOADER, CHILD, ...scenarios], { env: OUTSIDE })
  return JSON.parse(stdout) as Record<string, R>
}

interface Counts { readonly during: number, readonly sockets: number, readonly after: number }

const LEFT = [
  ['idle', 'by idle keep-alive sockets'],
  ['timer', 'by a timer left running'],
  ['interval', 'by an interval left running'],
  ['bind', 'by a bound listener left on a shared emitter'],
  ['bindEmitter', 'by a listener left on a shared emitter with bindEmitter'],
  ['snapshot', 'by a snapshot left in a listener'],
  ['request', 'by a request that an interval keeps']
] as const

t.test('after a request has ended nothing references its values', async (t) => {
  const counts = await measure<Counts>(...LEFT.map(([name]) => name), 'nested', 'nestedEarly', 'logged')
  for (const [name, title] of LEFT) {
    t.same(counts[name], { during: 20, sockets: 20, after: 0 }, title)
  }
  t.same(counts.nested, { during: 40, sockets: 20, after: 0 }, 'an interval in a nested scope references neither the values of the request nor of that scope')
  t.same(counts.nestedEarly, { during: 40, sockets: 20, after: 0 }, 'nor if many scopes were opened since')
  t.same(counts.logged, { during: 40, sockets: 20, after: 0 }, 'nor log lines that contain a whole object')
})

t.test('after the client has left, the values stay as long as something that still runs is referenced', async (t) => {
  const counts = await measure<object>('gone', 'running')
  t.same(counts.gone, { during: 20, after: 0, stopped: 0 }, 'nothing references a handler that waits forever, so its values are gone')
  t.same(counts.running, { during: 20, after: 20, stopped: 0 }, 'an interval and a pending event keep them until they are done')
})

t.test('10,000 requests with a nested scope each leave nothing in memory', async (t) => {
  const { growth } = await measure<{ early: number, late: number, grownBytes: number }>('growth')
  t.comment(`alive after 2,000 requests: ${growth!.early}, after 10,000: ${growth!.late}; grown by ${growth!.grownBytes} bytes`)
  // Each of the 10 sockets may keep its last request with the emptied stores, but never a user.
  t.ok(growth!.early <= 40, 'objects alive after 2,000 requests')
  t.ok(growth!.late <= 40, 'objects alive after 10,000 requests')
  t.ok(growth!.grownBytes < 4_000_000, 'less than 500 bytes for each of 8,000 requests')
})

interface User { readonly id: string }

const ctx = createContext({
  tenant: key<string>({ seed: () => 'acme', log: true }),
  user: key<User>({ log: (user) => user.id }),
  roles: key<readonly string[]>({ log: true })
})

interface Late {
  readonly lines: Lines
  /** Answers one request of the route with this handler, and waits for the end of its scope. */
  answer (path: string): Promise<void>
}

async function serve (t: Tap, routes: (app: FastifyInstance) => void): Promise<Late> {
  const lines = new Lines(t)
  const app = Fastify({ logger: { stream: lines }, forceCloseConnections: true })
  await app.register(ctx.plugin)
  routes(app)
  await app.listen({ port: 0, host: '127.0.0.1' })
  t.teardown(async () => { await app.close() })
  return {
    lines,
    async answer (path) {
      const closed = new Promise<void>((resolve) => app.server.once('request', (_request, response: http.ServerResponse) => response.once('close', resolve)))
      const [response] = await once(http.get({ port: (app.server.address() as AddressInfo).port, path, agent: false }), 'response') as [http.IncomingMessage]
      response.resume()
      await closed
      await turn()
    }
  }
}

t.test('a late read returns undefined and warns once per key and route', async (t) => {
  const warnings: Array<Error & { code?: string }> = []
  const warned = (warning: Error): void => { warnings.push(warning) }
  process.on('warning', warned)
  t.teardown(() => { process.off('warning', warned) })
  let late: Array<() => void> = []
  const { answer } = await serve(t, (app) => {
    for (const url of ['/orders/:id', '/users']) {
      app.get(url, async (request) => {
        ctx.set('user', { id: 'ann' })
        late.push(ctx.bind(() => {
          t.equal(ctx.get('tenant'), undefined)
          t.equal(ctx.get('tenant'), undefined)
          t.equal(ctx.get('user'), undefined)
          t.equal(request.ctx.get('tenant' as never), undefined)
          t.equal(ctx.has('tenant'), false)
        }))
        late.push(ctx.bind(() => ctx.run({}, () => { t.equal(ctx.get('tenant'), undefined, 'in a scope opened late') })))
        return 'ok'
      })
    }
  })
  for (const path of ['/orders/1', '/orders/2', '/users']) await answer(path)
  t.equal(late.length, 6)
  for (const read of late) read()
  late = []
  await turn()
  const told = warnings.filter(({ code }) => code === 'FST_CTX_LATE_READ').map(({ message }) => message)
  t.equal(told.length, 4)
  for (const url of ['/orders/:id', '/users']) {
    for (const name of ['tenant', 'user']) {
      t.equal(told.filter((message) => message.includes(`'${name}'`) && message.includes(url)).length, 1, `${name} of ${url}`)
    }
  }
})

t.test('a late require and a late set throw FST_CTX_ENDED', async (t) => {
  let late = (): void => {}
  const { answer } = await serve(t, (app) => {
    app.get('/', async (request) => {
      const inner = ctx.run({ tenant: 'inner' }, () => ctx.snapshot())
      const ended = { code: 'FST_CTX_ENDED' }
      late = ctx.bind(() => {
        t.throws(() => ctx.require('tenant'), ended)
        t.throws(() => ctx.require('user'), ended, 'a key that was never set')
        t.throws(() => ctx.require('requestId'), ended)
        t.throws(() => { ctx.set('tenant', 'late') }, ended)
        t.throws(() => request.ctx.requestId, ended)
        t.throws(() => { request.ctx.set('tenant' as never, 'late' as never) }, ended)
        t.throws(() => { inner(() => ctx.require('tenant')) }, ended, 'in a nested scope of the request')
        t.throws(() => { inner(() => { ctx.set('tenant', 'late') }) }, ended)
        t.throws(() => ctx.run({}, () => ctx.require('tenant')), { code: 'FST_CTX_NOT_SET' }, 'a scope opened late is a root')
      })
      return 'ok'
    })
  })
  await answer('/')
  late()
})

t.test('a late log line has the fields that its request had', async (t) => {
  const mixed = new Lines(t)
  const other = pino({ mixin: ctx.mixin }, mixed)
  let late = (): void => {}
  const { lines, answer } = await serve(t, (app) => {
    const child = app.log.child({ part: 'child of the application' })
    app.get('/', async (request, reply) => {
      ctx.set('user', { id: 'ann' })
      ctx.set('roles', ['reader'])
      const inner = ctx.run({ tenant: 'inner' }, () => ctx.bind((write: () => void) => { write() }))
      const within = request.log.child({ part: 'child of the request' })
      late = ctx.bind(() => {
        for (const log of [request.log, reply.log, app.log, ctx.log, child, within, other]) log.info('late')
        inner(() => { for (const log of [request.log, app.log, ctx.log, other]) log.info('inner') })
      })
      return 'ok'
    })
  })
  await answer('/')
  const before = lines.raw.length
  late()
  const written = [...lines.raw.slice(before), ...mixed.raw]
  t.equal(written.length, 11)
  const { reqId: id } = JSON.parse(lines.raw.find((line) => line.includes('request completed'))!) as { reqId: string }
  for (const line of written) {
    const { msg } = JSON.parse(line) as { msg: string }
    const fields = { reqId: id, tenant: msg === 'inner' ? 'inner' : 'acme', user: 'ann', roles: ['reader'] }
    for (const [name, value] of Object.entries(fields)) {
      t.equal(line.split(`"${name}":`).length, 2, `${name} is there once: ${line}`)
      t.ok(line.includes(`"${name}":${JSON.stringify(value)}`), `${name} is unchanged`)
    }
  }
})
