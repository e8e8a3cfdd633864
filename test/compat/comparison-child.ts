// comparison.test.ts runs this file. It prints what each peer shows in each row of the table, as JSON. A separate process, because NestJS cannot be loaded by
// the TypeScript loader of the test runner on Node 20.
import { execFile } from 'node:child_process'
import http2 from 'node:http2'
import net from 'node:net'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { FastifyInstance } from 'fastify'
import pino from 'pino'
import { OUTSIDE } from '../support/processes.ts'
import { gate, listen, turns, type Tap } from '../support/support.ts'
import { PEERS, type Cleanup, type Options, type Peer } from './comparison-peers.ts'

const TENANTS = ['alpha', 'beta'] as const

async function start (t: Cleanup, app: FastifyInstance<any, any, any, any>): Promise<{ readonly url: string, readonly port: number }> {
  return await listen(t as Tap, app)
}

/** Sends a request on its own socket that is never answered. */
function send (t: Cleanup, port: number, tenant: string): net.Socket {
  const socket = net.connect(port, '127.0.0.1')
  socket.on('error', () => {})
  t.teardown(() => { socket.destroy() })
  socket.write(`GET /held HTTP/1.1\r\nhost: a\r\nx-tenant: ${tenant}\r\n\r\n`)
  return socket
}

function wordFor (seen: unknown, own: string): string {
  return seen === own ? 'its own' : seen === undefined ? 'none' : 'another\'s'
}

/** What a hook sees in a request that is not answered. */
async function seenIn (t: Cleanup, peer: Peer, hook: 'onRequestAbort' | 'onTimeout', options: Options, leave: (socket: net.Socket) => void): Promise<string> {
  const app = await peer.open(t, { options: { forceCloseConnections: true, ...options } })
  const [reached, seen, never] = [gate(), gate<unknown>(), gate()]
  app.addHook(hook as 'onRequestAbort', (_request, ...rest: unknown[]) => {
    seen.open(peer.get())
    for (const done of rest) if (typeof done === 'function') done()
  })
  app.get('/held', async () => { reached.open(); await never.promise })
  const { port } = await start(t, app)
  const socket = send(t, port, 'alpha')
  await reached.promise
  leave(socket)
  return wordFor(await seen.promise, 'alpha')
}

/** Each row of the table, with a function that returns what one peer shows in it. */
const ROWS: Record<string, (t: Cleanup, peer: Peer, name: string) => Promise<string>> = {
  async 'Handlers of two requests at once, before and after an `await`' (t, peer) {
    const app = await peer.open(t)
    const [both, seen] = [gate(), new Map<string, unknown[]>()]
    app.get('/', async (request) => {
      const tenant = String(request.headers['x-tenant'])
      seen.set(tenant, [peer.get()])
      if (seen.size === TENANTS.length) both.open()
      await both.promise
      seen.get(tenant)!.push(peer.get())
      return ''
    })
    const { url } = await start(t, app)
    await Promise.all(TENANTS.map((tenant) => fetch(url, { headers: { 'x-tenant': tenant } })))
    return TENANTS.flatMap((tenant) => seen.get(tenant)!.map((value) => wordFor(value, tenant))).reduce((word, next) => word === next ? word : 'mixed')
  },
  async '`onResponse` hook, HTTP/1' (t, peer) {
    const app = await peer.open(t)
    const seen = gate<unknown>()
    app.addHook('onResponse', async () => { seen.open(peer.get()) })
    app.get('/', async () => '')
    await fetch((await start(t, app)).url, { headers: { 'x-tenant': 'alpha' } })
    return wordFor(await seen.promise, 'alpha')
  },
  async '`onResponse` hook, HTTP/2' (t, peer) {
    const app = await peer.open(t, { options: { http2: true } })
    const seen = gate<unknown>()
    app.addHook('onResponse', async () => { seen.open(peer.get()) })
    app.get('/', async () => '')
    const session = http2.connect((await start(t, app)).url)
    t.teardown(() => { session.destroy() })
    session.request({ ':path': '/', 'x-tenant': 'alpha' }).resume()
    return wordFor(await seen.promise, 'alpha')
  },
  '`onRequestAbort` hook': async (t, peer) => await seenIn(t, peer, 'onRequestAbort', {}, (socket) => { socket.destroy() }),
  '`onTimeout` hook': async (t, peer) => await seenIn(t, peer, 'onTimeout', { connectionTimeout: 50 }, () => {}),
  async 'Listener of a custom body parser, the body a moment late' (t, peer) {
    const app = await peer.open(t)
    const [reading, seen] = [gate(), gate<unknown>()]
    app.addContentTypeParser('text/csv', (_request, payload, done) => {
      payload.on('data', () => { seen.open(peer.get()) })
      payload.on('end', () => { done(null, '') })
      reading.open()
    })
    app.post('/', async () => '')
    const socket = net.connect((await start(t, app)).port, '127.0.0.1')
    t.teardown(() => { socket.destroy() })
    socket.write('POST / HTTP/1.1\r\nhost: a\r\nx-tenant: alpha\r\ncontent-type: text/csv\r\ncontent-length: 3\r\n\r\n')
    await reading.promise
    socket.write('a;b')
    return wordFor(await seen.promise, 'alpha')
  },
  async 'Read after the answer, in what was not awaited' (t, peer) {
    const app = await peer.open(t)
    const [answered, seen] = [gate(), gate<unknown>()]
    app.get('/', async () => { answered.promise.then(() => { seen.open(peer.get()) }); return '' })
    await fetch((await start(t, app)).url, { headers: { 'x-tenant': 'alpha' } })
    await app.close()
    await turns()
    answered.open()
    return await seen.promise === undefined ? 'none' : 'still there'
  },
  async 'Read outside every scope' (_t, peer) {
    return peer.get() === undefined ? '`undefined`' : 'a value'
  },
  async 'Set outside every scope' (_t, peer) {
    try {
      peer.set('late', 'value')
      return 'does nothing'
    } catch (error) {
      return `throws \`${(error as { code?: string }).code ?? (error as Error).name}\``
    }
  },
  async 'Set a name that was never declared, past the types' (t, peer) {
    const app = await peer.open(t)
    app.get('/', async () => { peer.set('tennant', 'value'); return peer.read('tennant') })
    const answer = await app.inject('/')
    return answer.statusCode === 200 ? 'is kept' : `throws \`${answer.json<{ code: string }>().code}\``
  },
  async 'Set in a nested scope' (t, peer) {
    const app = await peer.open(t)
    app.get('/', async () => { peer.nest(() => { peer.set('late', 'inner') }); return { late: peer.read('late') } })
    return (await app.inject('/')).json<{ late?: string }>().late === undefined ? 'stays inside' : 'is seen outside'
  },
  async 'Set around an open nested scope, read in it' (t, peer) {
    const app = await peer.open(t)
    app.get('/', async () => {
      const later = gate()
      const inner = peer.nest(async () => { await later.promise; return peer.read('late') })
      peer.set('late', 'outer')
      later.open()
      return { late: await inner }
    })
    return (await app.inject('/')).json<{ late?: string }>().late === 'outer' ? 'is seen' : 'is not: a copy'
  },
  async 'First value from a promise' (t, peer) {
    const app = await peer.open(t, { find: async () => { await turns(); return 'alpha' } })
    app.get('/', async () => ({ seen: peer.get() }))
    return (await app.inject('/')).json<{ seen?: string }>().seen === 'alpha' ? 'awaited' : 'none'
  },
  async 'Registered twice, awaited' (t, peer, name) {
    if (name === '@fastify/request-context') return await twiceInAChild()
    let asked = 0
    const app = await peer.open(t, { registered: 2, find: () => { asked++; return 'alpha' } })
    app.get('/', async () => '')
    await app.inject('/')
    return asked === 1 ? 'as if once' : 'works, asks twice'
  },
  async 'Line of `app.log`, by default' (t, peer) {
    let written = ''
    const app = await peer.open(t, { options: { loggerInstance: pino({}, { write (line: string) { if (line.includes('"deep"')) written = line } }) as never } })
    app.get('/', async () => { app.log.info('deep'); return '' })
    await app.inject({ url: '/', headers: { 'x-tenant': 'alpha' } })
    return (JSON.parse(written) as { tenant?: string }).tenant === 'alpha' ? 'names the tenant' : 'does not'
  }
}

/** This throws where no caller can catch it. */
async function twiceInAChild (): Promise<string> {
  const program = "const plugin = (await import('@fastify/request-context')).default; const app = (await import('fastify')).default(); try { await app.register(plugin); await app.register(plugin); await app.ready() } catch {}"
  const run = promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], { cwd: fileURLToPath(new URL('../..', import.meta.url)), env: OUTSIDE })
  return await run.then(() => 'as if once', ({ stderr }: { stderr: string }) => stderr.includes('FST_ERR_DEC_ALREADY_PRESENT') ? 'ends the process' : stderr)
}

const seen: Record<string, Record<string, string>> = {}
for (const [row, see] of Object.entries(ROWS)) {
  seen[row] = {}
  for (const [name, peer] of Object.entries(PEERS)) {
    const close: Array<() => unknown> = []
    seen[row][name] = await see({ teardown: ((fn: () => unknown) => { close.unshift(fn) }) as Tap['teardown'] }, peer, name)
    for (const fn of close) await fn()
  }
}
console.log(JSON.stringify(seen))
