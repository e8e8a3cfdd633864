import http2 from 'node:http2'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import t from 'tap'
import { createContext, key } from '../../../lib/index.ts'
import { checkedId, isChecked, isCounter, isSafeId, requestIds, responseHeader, type RequestIdOptions } from '../../../lib/config/request-id.ts'
import { exchange, Lines, listen, turns, warnings, type Tap } from '../../support/support.ts'

const UUID = /^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/

interface Answer { readonly head: string, readonly body: Readonly<Record<string, unknown>> }

/** An application that returns each of its request ids, called with raw bytes on a socket. */
async function setting (t: Tap, requestId?: RequestIdOptions, options: FastifyServerOptions = {}): Promise<{ readonly lines: Lines, readonly app: FastifyInstance, readonly ask: (...headers: string[]) => Promise<Answer> }> {
  const ctx = createContext({ tenant: key<string>() })
  const lines = new Lines(t)
  const app: FastifyInstance = Fastify({ logger: { stream: lines }, ...options })
  await app.register(ctx.plugin, requestId === undefined ? {} : { requestId })
  app.get('/', async (request) => {
    request.log.info('mine')
    return { request: request.id, ctx: ctx.get('requestId'), access: request.ctx.requestId }
  })
  const { port } = await listen(t, app)
  const ask = async (...headers: string[]): Promise<Answer> => {
    lines.raw = []
    const answer = await exchange(port, ['GET / HTTP/1.1', 'host: x', 'connection: close', ...headers, '', ''].join('\r\n'))
    const [head = '', body = ''] = answer.split('\r\n\r\n')
    return { head, body: /^HTTP\/1.1 200/.test(head) ? JSON.parse(body) as Answer['body'] : {} }
  }
  return { lines, app, ask }
}

/** The id of a response, checked to be the same everywhere. */
function idOf (t: Tap, { head, body }: Answer, lines: Lines, header = 'x-request-id'): string {
  const id = new RegExp(`^${header}: (.*)$`, 'm').exec(head)?.[1] ?? `no header ${header}`
  t.same(body, { request: id, ctx: id, access: id }, 'request.id, ctx.get and request.ctx')
  for (const line of lines.all()) if ('req' in line || line.msg === 'mine' || 'res' in line) t.equal(line.reqId, id, 'log line')
  return id
}

t.test('request.id, ctx.get, the log field and the response header are the same id', async (t) => {
  const { ask, lines } = await setting(t)

  t.test('an id is generated when the client sends none', async (t) => {
    const first = idOf(t, await ask(), lines)
    t.match(first, UUID)
    t.not(idOf(t, await ask(), lines), first)
  })

  t.test('a safe id is accepted: a UUID, a ULID, a trace id, plain ASCII', async (t) => {
    for (const id of ['0b7aa1c8-7a0b-4f0e-9f5e-5b8d3c6a3a52', '01ARZ3NDEKTSV4RRFFQ69G5FAV', '4bf92f3577b34da6a3ce929d0e0e4736', 'a', 'job:7_x.y', 'x'.repeat(128)]) {
      t.equal(idOf(t, await ask(`x-request-id: ${id}`), lines), id)
    }
  })

  t.test('an unsafe id is replaced, and appears in no log line and no header', async (t) => {
    for (const [what, headers] of Object.entries({
      empty: ['x-request-id:'],
      blank: ['x-request-id:   '],
      overlong: [`x-request-id: ${'canary'.repeat(22)}`],
      repeated: ['x-request-id: canary1', 'x-request-id: canary2'],
      'repeated in other case': ['X-Request-Id: canary1', 'x-request-ID: canary2'],
      spaced: ['x-request-id: canary one'],
      'a list': ['x-request-id: canary,one'],
      JSON: ['x-request-id: canary","level":60,"admin":"1'],
      markup: ['x-request-id: <script>canary</script>'],
      'a format': ['x-request-id: canary%s%o%j'],
      'a path': ['x-request-id: ../../canary'],
      quoted: ['x-request-id: "canary"'],
      'in Latin-1': ['x-request-id: canary\xe9'],
      'in UTF-8': [`x-request-id: canary${Buffer.from('日本', 'utf8').toString('latin1')}`],
      'with a tab': ['x-request-id: canary\there'],
      'with an escaped line break': ['x-request-id: canary\\r\\nx-admin: 1'],
      'with an encoded line break': ['x-request-id: canary%0d%0ax-admin: 1']
    })) {
      const answer = await ask(...headers)
      t.match(idOf(t, answer, lines), UUID, what)
      t.notMatch(answer.head, /canary|admin/, what)
      t.notMatch(lines.raw.join(''), /canary|admin/, what)
    }
  })

  t.test('Node refuses bytes that are invalid in a header, and they appear in no log line', async (t) => {
    for (const value of ['canary\0here', 'canary\rx-admin: 1', 'canary\x07', 'canary\x7f']) {
      const { head } = await ask(`x-request-id: ${value}`)
      t.match(head, /^HTTP\/1\.1 400/)
      t.notMatch(head + lines.raw.join(''), /canary|admin/)
    }
  })

  t.test('errors and 404 responses carry the id', async (t) => {
    const { app, lines } = await setting(t)
    const answer = await app.inject({ url: '/nowhere', headers: { 'x-request-id': 'id-1' } })
    t.equal(answer.statusCode, 404)
    t.equal(answer.headers['x-request-id'], 'id-1')
    t.equal(lines.one('request completed').reqId, 'id-1')
  })
})

t.test('inject: a header that is an array is replaced', async (t) => {
  const { app, lines } = await setting(t)
  const answer = await app.inject({ url: '/', headers: { 'x-request-id': ['canary1', 'canary2'] as never } })
  t.match(answer.headers['x-request-id'], UUID)
  t.same(answer.json(), { request: answer.headers['x-request-id'], ctx: answer.headers['x-request-id'], access: answer.headers['x-request-id'] })
  t.notMatch(lines.raw.join(''), /canary/)
})

t.test('HTTP/2: the id is the same everywhere, and an unsafe one is replaced', async (t) => {
  const ctx = createContext({})
  const app = Fastify({ http2: true })
  t.teardown(() => app.close())
  await app.register(ctx.plugin)
  app.get('/', async (request) => ({ request: request.id, ctx: ctx.get('requestId') }))
  await app.listen({ port: 0, host: '127.0.0.1' })
  const session = http2.connect(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}`)
  t.teardown(() => { session.close() })
  for (const [given, expected] of [['id-1', /^id-1$/], ['canary one', UUID], ['', UUID]] as const) {
    const stream = session.request({ ':path': '/', 'x-request-id': given })
    const [headers] = await once(stream, 'response') as [http2.IncomingHttpHeaders]
    const body = JSON.parse((await stream.toArray()).join('')) as unknown
    const id = headers['x-request-id'] as string
    t.match(id, expected)
    t.same(body, { request: id, ctx: id })
  }
})

t.test('request id options', async (t) => {
  t.test('header: another name, in any case', async (t) => {
    const { ask, lines } = await setting(t, { header: 'X-Correlation-Id' })
    t.equal(idOf(t, await ask('x-correlation-id: id-1'), lines), 'id-1')
    t.match(idOf(t, await ask('x-request-id: canary'), lines), UUID)
  })

  t.test('header: false: no header is read', async (t) => {
    const { ask, lines } = await setting(t, { header: false })
    t.match(idOf(t, await ask('x-request-id: canary'), lines), UUID)
    t.notMatch(lines.raw.join(''), /canary/)
  })

  t.test('responseHeader: another name', async (t) => {
    const { ask, lines } = await setting(t, { responseHeader: 'X-Trace' })
    const answer = await ask('x-request-id: id-1')
    t.equal(idOf(t, answer, lines, 'x-trace'), 'id-1')
    t.notMatch(answer.head, /x-request-id/)
  })

  t.test('responseHeader: false: no header is sent', async (t) => {
    const { ask, lines } = await setting(t, { responseHeader: false })
    const { head, body } = await ask('x-request-id: id-1')
    t.notMatch(head, /id-1|x-request-id/)
    t.equal(body.request, 'id-1')
    t.equal(lines.one('mine').reqId, 'id-1')
  })

  t.test('pattern: a non-matching id is replaced, and the g flag keeps no state', async (t) => {
    const { ask, lines } = await setting(t, { pattern: /^req-\d+$/gy })
    for (let i = 0; i < 3; i++) t.equal(idOf(t, await ask('x-request-id: req-7'), lines), 'req-7')
    t.match(idOf(t, await ask('x-request-id: other'), lines), UUID)
  })

  t.test('pattern: even a permissive pattern allows only visible ASCII of limited length', async (t) => {
    const { ask, lines } = await setting(t, { pattern: /[^]*/ })
    t.equal(idOf(t, await ask('x-request-id: a/b"c\\d'), lines), 'a/b"c\\d')
    for (const given of ['', 'canary one', 'x'.repeat(129), 'canary\xe9']) t.match(idOf(t, await ask(`x-request-id: ${given}`), lines), UUID)
  })

  t.test('generate: creates the id from the raw request when none was accepted', async (t) => {
    const { ask, lines } = await setting(t, { generate: (raw) => `made/${raw.method}` })
    t.equal(idOf(t, await ask(), lines), 'made/GET')
    t.equal(idOf(t, await ask('x-request-id: canary one'), lines), 'made/GET')
    t.equal(idOf(t, await ask('x-request-id: id-1'), lines), 'id-1')
  })

  t.test('generate that throws or returns an unsafe id: a UUID is used, with one warning each', async (t) => {
    const told = warnings(t, 'FST_CTX_REQUEST_ID')
    for (const generate of [() => { throw new Error('out of ids') }, () => undefined, () => '', () => 'a b', () => 'x\r\ny: z', () => 7, () => 'x'.repeat(129), async () => 'id']) {
      const { ask, lines } = await setting(t, { generate: generate as never })
      t.match(idOf(t, await ask(), lines), UUID)
      t.match(idOf(t, await ask(), lines), UUID)
    }
    await turns()
    t.same(told.map(({ message }) => /generator of request ids (threw|returned)/.exec(message)?.[1]), ['threw', 'returned'])
    t.match((told[0] as { detail?: string }).detail, /out of ids/, 'with its cause')
  })
})

t.test('the genReqId option of the server', async (t) => {
  t.test('creates the id when none was accepted', async (t) => {
    let made = 0
    const { ask, lines } = await setting(t, undefined, { genReqId: () => `server-${++made}` })
    t.equal(idOf(t, await ask(), lines), 'server-1')
    t.equal(idOf(t, await ask('x-request-id: id-1'), lines), 'id-1')
    t.equal(idOf(t, await ask(), lines), 'server-2')
  })

  t.test('that copies a header is checked like the header', async (t) => {
    const { ask, lines } = await setting(t, undefined, { genReqId: (raw) => raw.headers['x-request-id'] as string })
    for (const given of ['<canary>', 'canary one', 'x'.repeat(129), '']) {
      const answer = await ask(`x-request-id: ${given}`)
      t.match(idOf(t, answer, lines), UUID)
      t.notMatch(answer.head + lines.raw.join(''), /canary/)
    }
  })

  t.test('is overridden by generate', async (t) => {
    const { ask, lines } = await setting(t, { generate: () => 'ours' }, { genReqId: () => 'server' })
    t.equal(idOf(t, await ask(), lines), 'ours')
  })

  t.test('the default counter of Fastify, unique only in one process, is not used', async (t) => {
    const { ask, lines } = await setting(t)
    t.match(idOf(t, await ask(), lines), UUID)
  })
})

t.test('requestIdHeader of the server, which would accept any id, is refused', async (t) => {
  for (const requestIdHeader of ['x-request-id', 'x-other', true] as const) {
    await t.rejects(async () => { await Fastify({ requestIdHeader: requestIdHeader as string }).register(createContext({}).plugin) }, { code: 'FST_CTX_REQUEST_ID_HEADER', message: /requestId: \{ header: '/ })
  }
  await t.resolves(async () => { await Fastify({ requestIdHeader: false }).register(createContext({}).plugin) })
})

t.test('a second context beside the first', async (t) => {
  /** Two contexts, and the response to a client that sends no id. */
  async function both (t: Tap, requestId?: RequestIdOptions): Promise<Answer> {
    const app = Fastify()
    await app.register(createContext({}).plugin, { requestId: { generate: () => 'of-the-first' } })
    await app.register(createContext({}).plugin, requestId === undefined ? {} : { requestId })
    app.get('/', async (request) => ({ request: request.id }))
    const { port } = await listen(t, app)
    const [head = '', body = ''] = (await exchange(port, 'GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')).split('\r\n\r\n')
    return { head, body: JSON.parse(body) as Answer['body'] }
  }

  t.equal((await both(t)).body.request, 'of-the-first', 'uses the ids of the first')
  t.equal((await both(t, { responseHeader: 'x-second' })).body.request, 'of-the-first', 'also if it sends them in another header')
  t.match((await both(t, { responseHeader: 'x-second' })).head, /^x-second: of-the-first$/m)
  t.equal((await both(t, { generate: () => 'of-the-second' })).body.request, 'of-the-second', 'unless it generates its own')
})

t.test('invalid request id options are refused by name', async (t) => {
  for (const [options, name] of [
    [{ header: 7 }, 'requestId.header'],
    [{ header: true }, 'requestId.header'],
    [{ header: '' }, 'requestId.header'],
    [{ header: 'a b' }, 'requestId.header'],
    [{ header: 'a\r\nb' }, 'requestId.header'],
    [{ responseHeader: 7 }, 'requestId.responseHeader'],
    [{ responseHeader: 'é' }, 'requestId.responseHeader'],
    [{ pattern: '^a$' }, 'requestId.pattern'],
    [{ generate: 'uuid' }, 'requestId.generate'],
    [{ heather: 'x' }, 'requestId.heather'],
    ['x-request-id', 'requestId']
  ] as const) {
    t.throws(() => requestIds(options as never, undefined, () => undefined), { code: 'FST_CTX_INVALID_OPTION', message: new RegExp(`'${name}'`) }, JSON.stringify(options))
  }
  t.throws(() => requestIds(null as never, undefined, () => undefined), { code: 'FST_CTX_INVALID_OPTION' })
})

t.test('responseHeader: x-request-id, another name in lower case, or none', async (t) => {
  t.equal(responseHeader({}), 'x-request-id')
  t.equal(responseHeader({ responseHeader: 'X-Id' }), 'x-id')
  t.equal(responseHeader({ responseHeader: false }), undefined)
})

t.test('isSafeId accepts 1 to 128 visible ASCII characters', async (t) => {
  for (const id of ['a', '~', '!', 'x'.repeat(128)]) t.ok(isSafeId(id), id)
  for (const id of ['', ' ', 'a b', 'é', '\n', 'a\n', '\x7f', 'x'.repeat(129), 7, undefined, null, ['a']]) t.notOk(isSafeId(id), String(id))
})

t.test('setGenReqId after the plugin: an id that is unsafe in a header is replaced by a UUID everywhere', async (t) => {
  const told = warnings(t, 'FST_CTX_REQUEST_ID')
  for (const made of ['id-€', '', undefined, null, 7, Promise.resolve('id'), {}, 'x'.repeat(129)]) {
    const ctx = createContext({})
    const app: FastifyInstance = Fastify()
    await app.register(ctx.plugin)
    app.setGenReqId(() => made as string)
    app.get('/', async (request) => ({ request: request.id, ctx: ctx.get('requestId') }))
    const { url } = await listen(t, app)
    const answer = await fetch(url)
    t.equal(answer.status, 200)
    const id = answer.headers.get('x-request-id')
    t.match(id, UUID)
    t.same(await answer.json(), { request: id, ctx: id })
  }
  await turns()
  t.ok(told.length <= 1, 'one warning, which an earlier test may have caused')
})

t.test('generators are recognized by identity, because a bundler may rename them', async (t) => {
  const counter = (Fastify() as unknown as { genReqId: () => string }).genReqId
  t.ok(isCounter(counter))
  t.ok(isCounter(() => 'req-' + (1).toString(36)))
  t.notOk(isCounter(() => 'mine'))
  t.notOk(isCounter((raw) => `req-${String(raw).length.toString(36)}`))
  t.ok(isChecked(requestIds({}, undefined, () => undefined)))
  t.notOk(isChecked(() => 'mine'))

  let n = 0
  const { ask, lines } = await setting(t, undefined, { genReqId: () => `req-${(++n).toString(36)}` })
  t.equal(idOf(t, await ask(), lines), 'req-1', 'a custom generator is used, even if it looks like a counter')
})

t.test('a generator that throws a non-error: the warning names its type', async (t) => {
  t.match(checkedId(Symbol('x')), UUID)
  t.equal(checkedId('id-1'), 'id-1')
})
