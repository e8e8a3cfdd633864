import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { request as openRequest, type IncomingMessage } from 'node:http'
import { createServer, type AddressInfo } from 'node:net'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

type Headers = Record<string, string>

interface Note { readonly id: string, readonly tenant: string, readonly text: string }

/** A call as the service prints it, to be pasted. */
interface Call { readonly url: string, readonly headers: Headers, readonly body: string | undefined }

/** The example as a process of its own, and what it has printed. */
class Service {
  readonly output: string[] = []
  readonly exit: Promise<number | null>
  readonly #process: ChildProcess
  readonly #readers = new Set<() => void>()

  constructor (t: Test, port: string) {
    // Without the environment of the test, and without tap's coverage, which would count dist beside lib.
    const env = { PATH: process.env.PATH, PORT: port, _TAPJS_PROCESSINFO_COVERAGE_: '0' }
    this.#process = spawn(process.execPath, ['--import', 'tsx', 'examples/service/main.ts'], { cwd: ROOT, env })
    this.exit = once(this.#process, 'close').then(([code]) => code as number | null)
    for (const stream of [this.#process.stdout!, this.#process.stderr!]) {
      createInterface(stream).on('line', (line) => {
        this.output.push(line)
        for (const read of this.#readers) read()
      })
    }
    t.teardown(() => { this.#process.kill('SIGKILL') })
  }

  /** The first line with all these parts, once it is printed. */
  async line (...parts: string[]): Promise<string> {
    const ended = this.exit.then(() => { throw new Error(`ended without printing ${parts.join(' … ')}:\n${this.output.join('\n')}`) })
    const found = new Promise<string>((resolve) => {
      const read = (): void => {
        const line = this.output.find((line) => parts.every((part) => line.includes(part)))
        if (line === undefined) return
        this.#readers.delete(read)
        resolve(line)
      }
      this.#readers.add(read)
      read()
    })
    return Promise.race([found, ended])
  }

  /** All lines of a request, once it is over, checked for what every line must have. */
  async linesOf (t: Test, id: string, known: Headers): Promise<Array<Record<string, unknown>>> {
    await this.line(`"reqId":"${id}"`, 'request completed')
    const [incoming, ...later] = this.output.filter((line) => line.includes(`"reqId":"${id}"`))
    t.match(incoming, '"msg":"incoming request"')
    return later.map((line) => {
      t.equal(repeatedKey(line), undefined)
      const fields = JSON.parse(line) as Record<string, unknown>
      t.match(fields, { reqId: id, ...known })
      return fields
    })
  }

  /** The printed calls, read as a shell would. */
  async calls (): Promise<Call[]> {
    await this.line('Ctrl-C')
    return this.output.filter((line) => line.startsWith('curl ')).map((line) => ({
      url: /^curl (\S+)/.exec(line)![1]!,
      headers: Object.fromEntries(Array.from(line.matchAll(/-H '([^:]+): ([^']+)'/g), ([, name, value]) => [name, value])),
      body: / -d '([^']+)'/.exec(line)?.[1]
    }))
  }

  stop (signal: NodeJS.Signals): void {
    this.#process.kill(signal)
  }
}

/** A request whose body stays unfinished until the test wants it finished. */
async function hold (service: Service, { url, headers }: Call, id: string, note: string): Promise<() => Promise<IncomingMessage>> {
  const request = openRequest(url, { method: 'POST', headers: { ...headers, 'x-request-id': id } })
  const response = once(request, 'response')
  request.write('{"text":')
  await service.line(`"reqId":"${id}"`, 'incoming request')
  return async () => {
    request.end(`${JSON.stringify(note)}}`)
    const [message] = await response as [IncomingMessage]
    return message
  }
}

/** A key that stands twice in one object of a JSON text, which `JSON.parse` would hide. */
function repeatedKey (line: string): string | undefined {
  const objects: Array<Set<string>> = []
  for (const [token] of line.matchAll(/"(?:[^"\\]|\\.)*":?|[{}]/g)) {
    if (token === '{') objects.push(new Set())
    else if (token === '}') objects.pop()
    else if (token.endsWith(':')) {
      if (objects.at(-1)!.has(token)) return token
      objects.at(-1)!.add(token)
    }
  }
  return undefined
}

if (!existsSync(`${ROOT}dist/index.js`)) throw new Error('dist/index.js is missing, which the example imports: run `npm run build` first')

const service = new Service(t, '0')
const [write, exported, list] = await service.calls() as [Call, Call, Call]
const base = new URL('/', write.url).href
const ada = { tenant: 'acme', user: 'ada' }
const lin = { tenant: 'globex', user: 'lin' }

async function call (path: string, id: string, headers: Headers, body?: string): Promise<Response> {
  const init = body === undefined ? {} : { method: 'POST', body }
  return fetch(new URL(path, base), { ...init, headers: { ...headers, 'x-request-id': id } })
}

t.test('a key repeated on a line, in its raw text, is found', async (t) => {
  t.equal(repeatedKey('{"a":{"b":"{"},"b":1,"a":2}'), '"a":')
  t.equal(repeatedKey('{"a":{"b":1},"b":"\\"a\\":","c":[{"b":1},{"b":1}]}'), undefined)
})

t.test('the three printed calls, pasted, answer and log who asked', async (t) => {
  const written = await call(write.url, 'paste-1', write.headers, write.body)
  t.equal(written.status, 201)
  t.equal(written.headers.get('x-request-id'), 'paste-1')
  const note = await written.json() as Note
  t.match(note, { tenant: 'acme', author: 'ada', text: 'buy milk' })
  t.match(await service.linesOf(t, 'paste-1', ada), [
    { msg: 'row inserted', note: note.id },
    { name: 'audit', msg: 'note written', note: note.id },
    { msg: 'request completed', res: { statusCode: 201 } }
  ])

  const stream = await call(exported.url, 'paste-2', exported.headers)
  t.equal(stream.headers.get('content-type'), 'application/x-ndjson')
  t.same(await stream.text(), `${JSON.stringify(note)}\n`)
  t.match((await service.linesOf(t, 'paste-2', ada)).map(({ msg }) => msg), ['note exported', 'export complete', 'request completed'])

  t.same(await (await call(list.url, 'paste-3', list.headers)).json(), [])
  t.match((await service.linesOf(t, 'paste-3', lin)).map(({ msg }) => msg), ['notes listed', 'request completed'])

  const read = await call(`/notes/${note.id}`, 'read-own', write.headers)
  t.same(await read.json(), note)
  const refused = await call(`/notes/${note.id}`, 'read-other', list.headers)
  t.equal(refused.status, 404, 'of another tenant, it is as if it were not there')
})

t.test('two tenants that write at once, finished in both orders, see their own notes only', async (t) => {
  const globex = { ...write, headers: { ...write.headers, ...list.headers } }
  for (const first of ['acme', 'globex']) {
    const acmeEnd = await hold(service, write, `acme-${first}`, 'of acme')
    const globexEnd = await hold(service, globex, `globex-${first}`, 'of globex')
    const ends = first === 'acme' ? [acmeEnd(), globexEnd()] : [globexEnd(), acmeEnd()]
    const answers = await Promise.all(ends.map(async (end) => JSON.parse(await text(await end)) as Note))
    t.same(answers.map(({ tenant }) => tenant), first === 'acme' ? ['acme', 'globex'] : ['globex', 'acme'])
    for (const { tenant, text } of answers) t.equal(text, `of ${tenant}`)
    await service.linesOf(t, `acme-${first}`, ada)
    await service.linesOf(t, `globex-${first}`, lin)
  }
  const [mine, theirs] = await Promise.all([write, list].map(async ({ headers }, i) => (await call('/notes', `list-${i}`, headers)).json() as Promise<Note[]>))
  t.same(mine!.map(({ text }) => text), ['buy milk', 'of acme', 'of acme'])
  t.same(theirs!.map(({ text }) => text), ['of globex', 'of globex'])
})

t.test('two tenants whose streams wait for slow readers get and log their own notes only', async (t) => {
  // Far more than a socket takes at once: the rest is made when the socket drains.
  const long = JSON.stringify({ text: 'x'.repeat(900_000) })
  for (let i = 0; i < 3; i++) {
    await Promise.all([write, list].map(async ({ headers }, who) => (await call('/notes', `long-${who}-${i}`, { ...write.headers, ...headers }, long)).text()))
  }
  const [acme, globex] = await Promise.all([call('/export', 'slow-acme', write.headers), call('/export', 'slow-globex', list.headers)])
  const answers = await Promise.all([acme.text(), globex.text()])
  for (const [i, tenant] of ['acme', 'globex'].entries()) {
    const notes = answers[i]!.trimEnd().split('\n').map((line) => JSON.parse(line) as Note)
    t.ok(notes.length > 3)
    t.ok(notes.every((note) => note.tenant === tenant))
    const lines = await service.linesOf(t, `slow-${tenant}`, i === 0 ? ada : lin)
    t.same(lines.filter(({ name }) => name === 'audit').map(({ note }) => note), notes.map(({ id }) => id))
  }
})

t.test('what is refused says why, with a code, and its lines say whose it was as far as that is known', async (t) => {
  const { authorization, 'x-tenant-id': tenant } = exported.headers as { authorization: string, 'x-tenant-id': string }
  const [, payload] = authorization.split('.') as [string, string]
  const unsigned = `Bearer ${Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url')}.${payload}.c2lnbmVk`
  const refusals: Array<[id: string, path: string, headers: Headers, status: number, code: string | undefined, known: Headers]> = [
    ['no-note', '/notes/none', exported.headers, 404, 'NO_SUCH_NOTE', ada],
    ['no-route', '/elsewhere', exported.headers, 404, undefined, { tenant }],
    ['no-tenant', '/notes', { authorization }, 400, 'NO_TENANT', {}],
    ['bad-tenant', '/notes', { authorization, 'x-tenant-id': 'a"b' }, 400, 'NO_TENANT', {}],
    ['no-token', '/notes', { 'x-tenant-id': tenant }, 401, 'NO_USER', { tenant }],
    ['forged', '/notes', { 'x-tenant-id': tenant, authorization: authorization.slice(0, -9) }, 401, 'NO_USER', { tenant }],
    ['unsigned', '/notes', { 'x-tenant-id': tenant, authorization: unsigned }, 401, 'NO_USER', { tenant }],
    ['other-tenant', '/notes', { 'x-tenant-id': 'globex', authorization }, 403, 'OTHER_TENANT', { tenant: 'globex', user: 'ada' }]
  ]
  for (const [id, path, headers, status, code, known] of refusals) {
    const response = await call(path, id, headers)
    t.equal(response.status, status, id)
    t.equal(response.headers.get('x-request-id'), id)
    t.equal((await response.json() as { code?: string }).code, code, id)
    const lines = await service.linesOf(t, id, known)
    if (code !== undefined) t.equal(lines[0]!.code, code)
    for (const line of lines) t.same(Object.keys(known), ['tenant', 'user'].filter((name) => name in line))
  }
  t.equal((await call('/notes', 'no-text', write.headers, '{}')).status, 400)
  t.match(await service.linesOf(t, 'no-text', { tenant: 'acme' }), [{ code: 'FST_ERR_VALIDATION' }, {}])
})

t.test('an error that nobody foresaw is told to the log; the client gets the id to quote', async (t) => {
  const response = await call('/boom', 'boom-1', exported.headers)
  t.equal(response.status, 500)
  t.same(await response.json(), { statusCode: 500, code: 'INTERNAL', message: 'this is our fault; tell us the requestId', requestId: 'boom-1' })
  const [failure] = await service.linesOf(t, 'boom-1', ada)
  t.match(failure, { level: 'error', err: { message: 'the index of notes is broken', stack: /repository\.ts/ } })
})

t.test('SIGTERM stops the service with exit code 0, and every line between start and stop was a request\'s', async (t) => {
  service.stop('SIGTERM')
  t.equal(await service.exit, 0)
  const logged = service.output.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as { reqId?: string, msg: string })
  t.match(logged.filter(({ reqId }) => reqId === undefined).map(({ msg }) => msg), [/^Server listening/, 'stopping'])
})

t.test('SIGINT, even twice, lets a request that has begun finish, and stops the service with exit code 0', async (t) => {
  const service = new Service(t, '0')
  const [write] = await service.calls() as [Call]
  const end = await hold(service, write, 'last', 'just in time')
  service.stop('SIGINT')
  await service.line('stopping')
  service.stop('SIGINT')
  const response = await end()
  t.equal(response.statusCode, 201)
  t.match(await text(response), 'just in time')
  t.equal(await service.exit, 0)
  await service.linesOf(t, 'last', ada)
})

t.test('a port that is taken, or none, is named, and the exit code is 1', async (t) => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.teardown(() => { other.close() })
  const { port } = other.address() as AddressInfo
  const late = new Service(t, String(port))
  await late.line(`did not start: port ${port} is taken`)
  t.equal(await late.exit, 1)

  const confused = new Service(t, 'http')
  await confused.line("did not start: PORT is 'http'")
  t.equal(await confused.exit, 1)
})
