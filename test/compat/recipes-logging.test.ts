// pino-pretty and pino transports: a line has its fields before it goes to another thread or stream.
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import Fastify, { type FastifyInstance } from 'fastify'
import { multistream, pino, transport } from 'pino'
import pretty from 'pino-pretty'
import t from 'tap'
import { symbolOf } from '../../lib/common/symbols.ts'
import { gate, listen, repeatedNames, type Tap } from '../support/support.ts'
import { ctx } from './recipes/context.ts'
import { headersOf, TENANTS } from './recipes/watch.ts'

/** Sends a request per tenant at once. After both have begun, each writes a log line. */
async function ask (t: Tap, app: FastifyInstance, write: () => void): Promise<void> {
  const both = gate()
  let waiting = 0
  app.get('/', async () => {
    if (++waiting === TENANTS.length) both.open()
    await both.promise
    write()
    return 'ok'
  })
  const { url } = await listen(t, app)
  await Promise.all(TENANTS.map(async (tenant) => await (await fetch(url, { headers: headersOf(tenant) })).text()))
  await app.close()
}

/** A transport writes its buffer when its thread ends. */
async function flushed (logger: object): Promise<void> {
  const stream = (logger as Record<symbol, Writable>)[symbolOf(logger, 'pino.stream')!]!
  const closed = once(stream, 'close')
  // The thread alone does not keep the process alive.
  const alive = setInterval(() => {}, 1000)
  stream.end()
  await closed
  clearInterval(alive)
}

const linesOf = (text: string, part: string): string[] => text.split('\n').filter((line) => line.includes(part)).sort()

function collector (): { readonly stream: Writable, readonly text: () => string } {
  const parts: string[] = []
  return { stream: new Writable({ write (part, _encoding, done) { parts.push(String(part)); done() } }), text: () => parts.join('') }
}

t.test('transports in threads of their own: pino-pretty with its template, pino/file as JSON', async (t) => {
  const directory = t.testdir({})
  const [screen, file] = [join(directory, 'screen.log'), join(directory, 'app.log')]

  const app = Fastify({
    logger: {
      transport: {
        targets: [
          { target: 'pino-pretty', options: { destination: screen, colorize: false, messageFormat: '[{tenant} {reqId}] {msg}', ignore: 'pid,hostname,tenant,reqId' } },
          { target: 'pino/file', options: { destination: file } }
        ]
      }
    }
  })
  await app.register(ctx.plugin)

  await ask(t, app, () => { app.log.info('handled') })
  await flushed(app.log)
  t.same(linesOf(await readFile(screen, 'utf8'), 'handled').map((line) => line.replace(/^.*INFO: /, '')), TENANTS.map((tenant) => `[${tenant} id-${tenant}] handled`))
  for (const message of ['handled', 'request completed']) {
    const lines = linesOf(await readFile(file, 'utf8'), `"${message}"`)
    t.same(lines.map((line) => JSON.parse(line)).map(({ tenant, reqId }) => `${tenant} ${reqId}`).sort(), TENANTS.map((tenant) => `${tenant} id-${tenant}`), message)
    t.same(lines.flatMap(repeatedNames), [])
  }
})

t.test('several streams in this thread, and a separate logger with a transport', async (t) => {
  const file = join(t.testdir({}), 'audit.log')
  const [seen, json] = [collector(), collector()]

  const streams = multistream([
    { stream: pretty({ colorize: false, messageFormat: '{tenant}: {msg}', destination: seen.stream }) },
    { level: 'warn', stream: json.stream }
  ])
  const app = Fastify({ logger: { stream: streams } })
  await app.register(ctx.plugin)
  const audit = pino({ mixin: ctx.mixin }, transport({ target: 'pino/file', options: { destination: file } }))

  await ask(t, app, () => { app.log.warn('handled'); audit.info('audited') })
  await flushed(audit)
  t.same(linesOf(json.text(), 'handled').map((line) => JSON.parse(line).tenant).sort(), [...TENANTS])
  t.same(linesOf(json.text(), 'request completed'), [], 'below its level')
  t.same(linesOf(await readFile(file, 'utf8'), 'audited').map((line) => JSON.parse(line)).map(({ tenant, reqId }) => `${tenant} ${reqId}`).sort(), TENANTS.map((tenant) => `${tenant} id-${tenant}`))
  t.same(linesOf(seen.text(), 'handled').map((line) => line.replace(/^.*WARN \(\d+\): /, '')).sort(), TENANTS.map((tenant) => `${tenant}: handled`))
})

t.test('a function of pino-pretty runs when its stream reaches the line, in any scope: it must read the fields of the line', async (t) => {
  const [stalled, drained] = [gate(), gate()]
  const seen: string[] = []
  const scopes: unknown[] = []
  const destination = new Writable({
    write (part, _encoding, done) {
      seen.push(String(part))
      stalled.promise.then(() => { done() })
      if (seen.filter((text) => text.includes('handled')).length === 2) drained.open()
    }
  })
  const stream = pretty({
    colorize: false,
    destination,
    messageFormat: (log, key) => {
      if (log[key] === 'handled') scopes.push(ctx.get('tenant'))
      return `${String(log.tenant)}: ${String(log[key])}`
    }
  })
  const app = Fastify({ logger: { stream } })
  await app.register(ctx.plugin)
  for (let i = 0; i < 1000; i++) app.log.info('more than the stream takes at once')
  await ask(t, app, () => { app.log.info('handled') })
  stalled.open()
  await drained.promise
  t.same(scopes, [undefined, undefined])
  t.same(linesOf(seen.join(''), 'handled').map((line) => line.replace(/^.*INFO \(\d+\): /, '')).sort(), TENANTS.map((tenant) => `${tenant}: handled`))
})
