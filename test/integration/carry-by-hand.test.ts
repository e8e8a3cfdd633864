// Where the scope cannot follow: each test shows with the real library that it does not, then how to carry it.
import { EventEmitter, once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { MessageChannel, Worker, type MessagePort } from 'node:worker_threads'
import { PGlite } from '@electric-sql/pglite'
import { PGLiteSocketServer } from '@electric-sql/pglite-socket'
import DataLoader from 'dataloader'
import genericPool from 'generic-pool'
import PQueue from 'p-queue'
import pg from 'pg'
import t from 'tap'
import { Client } from 'undici'
import { createContext, key } from '../../lib/index.ts'

type Tap = typeof t
type Tenant = 'A' | 'B' | 'C'
type Seen = string | undefined

const ctx = createContext({ tenant: key<Tenant>(), loader: key<DataLoader<string, string>>() })
const here = (): Seen => ctx.get('tenant')
const tenants = ['A', 'B', 'C'] as const
const others = ['B', 'C'] as const

/** Stands for a request: opens its scope from outside any other. */
function as<R> (tenant: Tenant, fn: () => R): R {
  return ctx.run({ tenant }, fn, { inherit: false })
}

/** What A, B and C see, one after another. */
async function inTurn (fn: (tenant: Tenant) => Seen | Promise<Seen>): Promise<Seen[]> {
  const seen: Seen[] = []
  for (const tenant of tenants) seen.push(await as(tenant, () => fn(tenant)))
  return seen
}

/** Turns a callback into a promise for what it saw when it was called. */
function told (start: (tell: (error?: unknown) => void) => void, carry: typeof ctx.bind = (fn) => fn): Promise<Seen> {
  return new Promise((resolve, reject) => {
    start(carry((error?: unknown) => { if (error instanceof Error) reject(error); else resolve(here()) }))
  })
}

function lost (t: Pick<Tap, 'not' | 'comment'>, seen: readonly Seen[], expected: readonly Tenant[]): void {
  t.comment(`without help ${expected.join(', ')} see ${seen.map(String).join(', ')}`)
  expected.forEach((tenant, i) => { t.not(seen[i], tenant, `without help ${tenant} does not see itself`) })
}

t.test('pg: callbacks and events of pooled connections', async (t) => {
  const db = await PGlite.create()
  const server = new PGLiteSocketServer({ db, port: 0, maxConnections: 10 })
  await server.start()
  const [host, port] = server.getServerConn().split(':') as [string, string]
  const pools: pg.Pool[] = []
  const open = (): pg.Pool => {
    const pool = new pg.Pool({ host, port: Number(port), user: 'postgres', database: 'postgres', max: 1 })
    pools.push(pool)
    return pool
  }
  t.teardown(async () => {
    for (const pool of pools) await pool.end()
    await server.stop()
    await db.close()
  })
  const bind = ctx.bind.bind(ctx)

  await t.test('the callback of a query', async (t) => {
    const pool = open()
    const ask = (carry?: typeof bind) => () => told((tell) => { pool.query('select 1', tell) }, carry)
    lost(t, (await inTurn(ask())).slice(1), others)
    t.same(await inTurn(ask(bind)), tenants, 'bind')
    t.same(await inTurn(async () => { await pool.query('select 1'); return here() }), tenants, 'a promise needs no help')
  })

  await t.test('the callback of a connect that waited for a connection', async (t) => {
    const pool = open()
    const waiting = async (carry?: typeof bind): Promise<Seen[]> => {
      const held = await as('A', () => pool.connect())
      const seen = others.map((tenant) => as(tenant, () => told((tell) => {
        pool.connect((error, _client, done) => { tell(error); done() })
      }, carry)))
      as('A', () => { held.release() })
      return await Promise.all(seen)
    }
    lost(t, await waiting(), others)
    t.same(await waiting(bind), others, 'bind')
  })

  await t.test('the events of a connection', async (t) => {
    const pool = open()
    const listen = (carry?: typeof bind) => async () => {
      const client = await pool.connect()
      try {
        const seen = told((tell) => { client.once('notice', () => { tell() }) }, carry)
        await client.query('do $$ begin raise notice \'heard\'; end $$')
        return await seen
      } finally { client.release() }
    }
    lost(t, (await inTurn(listen())).slice(1), others)
    t.same(await inTurn(listen(bind)), tenants, 'bind')
    pool.on('acquire', (client) => { ctx.bindEmitter(client) })
    t.same(await inTurn(listen()), tenants, 'bindEmitter, once for each connection of the pool')
  })
})

t.test('p-queue: a task', async (t) => {
  const queue = new PQueue({ concurrency: 1 })
  const queued = async (carry: (task: () => Promise<Seen>) => () => Promise<Seen>): Promise<unknown[]> =>
    await Promise.all(tenants.map((tenant) => as(tenant, () => queue.add(carry(async () => here())))))
  lost(t, (await queued((task) => task) as Seen[]).slice(1), others)
  t.same(await queued((task) => ctx.bind(task)), tenants, 'bind')
})

t.test('DataLoader: a loader that requests share', async (t) => {
  const open = (): DataLoader<string, string> => new DataLoader(async (ids) => ids.map((id) => `${id} of ${here()}`))
  const shared = open()
  const fromShared = await Promise.all(tenants.map((tenant) => as(tenant, () => shared.load(`row ${tenant}`))))
  t.same(fromShared, ['row A of A', 'row B of A', 'row C of A'], 'without help B and C get what A may read')
  t.equal(await as('B', () => shared.load('row A')), 'row A of A', 'and its cache returns A\'s row to B')

  const fromOwn = await Promise.all(tenants.map((tenant) => ctx.run({ tenant, loader: open() }, async () => {
    const { length } = await Promise.all([ctx.require('loader').load('1'), ctx.require('loader').load('2')])
    return `${length} of them: ${await ctx.require('loader').load('1')}`
  })))
  t.same(fromOwn, ['2 of them: 1 of A', '2 of them: 1 of B', '2 of them: 1 of C'], 'one per scope')
})

t.test('EventEmitter: an emitter that requests share', async (t) => {
  const heard = (emitter: EventEmitter, carry: typeof ctx.bind = (fn) => fn): Seen[] => {
    const seen: Seen[] = []
    for (const tenant of tenants) as(tenant, () => { emitter.on('event', carry(() => { seen.push(here()) })) })
    ctx.run({}, () => { emitter.emit('event') }, { inherit: false })
    return seen
  }
  lost(t, heard(new EventEmitter()), tenants)
  t.same(heard(new EventEmitter(), (fn) => ctx.bind(fn)), tenants, 'bind')
  t.same(heard(ctx.bindEmitter(new EventEmitter())), tenants, 'bindEmitter')
})

t.test('AbortSignal: a signal that is aborted elsewhere', async (t) => {
  const fired = (carry: typeof ctx.bind = (fn) => fn): Seen => {
    const controller = new AbortController()
    let seen: Seen
    as('A', () => { controller.signal.addEventListener('abort', carry(() => { seen = here() })) })
    as('B', () => { controller.abort() })
    return seen
  }
  lost(t, [fired()], ['A'])
  t.equal(fired((fn) => ctx.bind(fn)), 'A', 'bind')
})

t.test('Worker and MessagePort: messages', async (t) => {
  const echo = new Worker('const { parentPort } = require("node:worker_threads"); parentPort.on("message", (m) => parentPort.postMessage(m))', { eval: true })
  const { port1, port2 } = new MessageChannel()
  port2.on('message', (message) => { port2.postMessage(message) })
  t.teardown(async () => { port1.close(); await echo.terminate() })
  await once(echo, 'online')

  const ask = (to: Worker | MessagePort, carry?: typeof ctx.bind) => () => told((tell) => {
    to.once('message', tell)
    to.postMessage('a question')
  }, carry)
  for (const [name, to] of [['Worker', echo], ['MessagePort', port1]] as const) {
    lost(t, (await inTurn(ask(to))).slice(1), others)
    t.same(await inTurn(ask(to, (fn) => ctx.bind(fn))), tenants, `${name}: bind`)
  }
  ctx.bindEmitter(echo)
  t.same(await inTurn(ask(echo)), tenants, 'Worker: bindEmitter')
  t.throws(() => ctx.bindEmitter(port1 as never), { code: 'FST_CTX_INVALID_ARGUMENT' }, 'a MessagePort is not an EventEmitter')
})

t.test('generic-pool: the resources that a pool creates, and their events', async (t) => {
  const outside = ctx.snapshot()
  const made: Seen[] = []
  const create = async (): Promise<EventEmitter> => { made.push(here()); return new EventEmitter() }
  const replaced = async (create: () => Promise<EventEmitter>): Promise<Seen> => {
    const pool = genericPool.createPool({ create, destroy: async () => {} }, { max: 1 })
    const held = await as('A', () => pool.acquire())
    const next = as('B', async () => { await pool.acquire(); return here() })
    await as('A', () => pool.destroy(held))
    return await next
  }
  t.equal(await replaced(create), 'B', 'an awaited resource needs no help')
  lost(t, made.splice(0).slice(1), ['B'])
  await replaced(() => outside(create))
  t.same(made, [undefined, undefined], 'a snapshot from the start: shared resources are created outside any scope')

  const pool = genericPool.createPool({ create: async () => new EventEmitter(), destroy: async () => {} }, { max: 1 })
  const listen = (carry?: typeof ctx.bind) => () => pool.use((resource) => told((tell) => {
    resource.once('event', () => { tell() })
    outside(() => resource.emit('event'))
  }, carry))
  lost(t, await inTurn(listen()), tenants)
  t.same(await inTurn(listen((fn) => ctx.bind(fn))), tenants, 'bind')
})

t.test('undici: body events on a reused connection', async (t) => {
  const reader = new EventEmitter()
  const server = http.createServer((_request, response) => {
    reader.once('first part', () => { response.end('second part') })
    response.write('first part')
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const client = new Client(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  t.teardown(async () => { await client.close(); server.close() })

  const read = ({ open = (body: EventEmitter) => body, carry = (fn: (part: Buffer) => void) => fn } = {}) => async () => {
    const { body } = await client.request({ path: '/', method: 'GET' })
    const seen: Record<string, Seen> = {}
    open(body).on('data', carry((part) => {
      seen[String(part)] = here()
      reader.emit(String(part))
    }))
    await once(body, 'close')
    return seen['second part']
  }
  lost(t, (await inTurn(read())).slice(1), others)
  t.same(await inTurn(read({ carry: (fn) => ctx.bind(fn) })), tenants, 'bind')
  t.same(await inTurn(read({ open: (body) => ctx.bindEmitter(body) })), tenants, 'bindEmitter')
  t.same(await inTurn(async () => {
    const { body } = await client.request({ path: '/', method: 'GET' })
    setImmediate(() => { reader.emit('first part') })
    await body.text()
    return here()
  }), tenants, 'a promise needs no help')
})

t.test('async generator: one that another request advances', async (t) => {
  async function * rows (): AsyncGenerator<Seen> { while (true) yield here() }
  const plain = as('A', () => rows())
  lost(t, [(await as('B', () => plain.next())).value], ['A'])

  const carried = as('A', () => {
    const generator = rows()
    return Object.assign(generator, { next: ctx.bind(generator.next.bind(generator)) })
  })
  t.equal((await as('B', () => carried.next())).value, 'A', 'bind')
  const { generator, inScope } = as('A', () => ({ generator: rows(), inScope: ctx.snapshot() }))
  t.equal((await as('B', () => inScope(() => generator.next()))).value, 'A', 'snapshot')
})

t.test('setInterval: a shared interval, started by the first request', async (t) => {
  const flushed = async (carry: typeof ctx.bind = (fn) => fn): Promise<Seen[]> => {
    const jobs: Array<() => void> = []
    let interval: NodeJS.Timeout | undefined
    const seen = await Promise.all(tenants.map((tenant) => as(tenant, () => told((tell) => {
      jobs.push(tell)
      interval ??= setInterval(() => { for (const job of jobs.splice(0)) job() }, 1)
    }, carry))))
    clearInterval(interval)
    return seen
  }
  lost(t, (await flushed()).slice(1), others)
  t.same(await flushed((fn) => ctx.bind(fn)), tenants, 'bind')
})
