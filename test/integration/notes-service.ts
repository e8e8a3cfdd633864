// Runs the notes example as a separate process, and reads its output.
import { spawn, type ChildProcess } from 'node:child_process'
import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { request as openRequest, type IncomingMessage } from 'node:http'
import { createInterface } from 'node:readline'
import { json } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { repeatedNames, type LogLine, type Tap } from '../support/support.ts'

export const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const SECRET = 'a secret of this test alone, which signs nothing else'

if (!existsSync(`${ROOT}dist/worker.js`)) throw new Error('dist/worker.js is missing, which the example imports: run `npm run build` first')

/** The caller: a user of a tenant, or of none. */
export interface Caller { readonly sub: string, readonly tenant?: unknown }

export interface Answer { readonly status: number, readonly body: any }

/** A token as the service signs it. */
function tokenOf (claims: Caller): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const unsigned = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`
  return `${unsigned}.${createHmac('sha256', SECRET).update(unsigned).digest('base64url')}`
}

export class Service {
  readonly output: string[] = []
  /** The exit code. Resolves when the worker has ended too, because both share one stdout. */
  readonly exit: Promise<number | null>
  readonly #t: Tap
  readonly #process: ChildProcess
  readonly #readers = new Set<() => void>()
  #url: string | undefined

  constructor (t: Tap, environment: Readonly<Record<string, string>> = {}) {
    this.#t = t
    // Without the environment of the test, and without tap's coverage, which would count dist next to lib.
    const env = { PATH: process.env.PATH, PORT: '0', JWT_SECRET: SECRET, _TAPJS_PROCESSINFO_COVERAGE_: '0', ...environment }
    this.#process = spawn(process.execPath, ['--import', 'tsx', 'examples/notes/main.ts'], { cwd: ROOT, env })
    this.exit = once(this.#process, 'close').then(([code]) => code as number | null)
    for (const stream of [this.#process.stdout!, this.#process.stderr!]) {
      createInterface(stream).on('line', (line) => {
        this.output.push(line)
        for (const read of this.#readers) read()
      })
    }
    t.teardown(() => { this.#process.kill('SIGKILL') })
  }

  /** Resolves with the first line that contains all these parts. */
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

  /** The lines of a request so far, in both processes. Checks the caller on each line. */
  linesOf (id: string, known: Readonly<Record<string, unknown>> = {}): LogLine[] {
    const [, ...lines] = this.output.filter((line) => line.includes(`"reqId":"${id}"`))
    return lines.map((line) => {
      this.#t.same(repeatedNames(line), [], 'no name stands twice on a line')
      const fields = JSON.parse(line) as LogLine
      this.#t.match(fields, { reqId: id, ...known })
      return fields
    })
  }

  /** The address at which it listens. */
  async url (): Promise<string> {
    this.#url ??= /^curl (http:\/\/[^/]+)/.exec(await this.line('curl http'))![1]!
    return this.#url
  }

  async get (path: string, caller: Caller, id = 'any'): Promise<Answer> {
    return this.#call('GET', path, caller, id).then((send) => send())
  }

  async post (path: string, caller: Caller, id = 'any', body?: object): Promise<Answer> {
    return this.#call('POST', path, caller, id, body).then((send) => send())
  }

  /** Sends a note without the end of its body, which the returned function sends. The request has used the database once by then. */
  async hold (caller: Caller, id: string, text: string): Promise<() => Promise<Answer>> {
    const send = await this.#call('POST', '/notes', caller, id, { text })
    await this.line('"name":"database"', `"reqId":"${id}"`, 'committed')
    return send
  }

  async texts (caller: Caller, id?: string): Promise<string[]> {
    const { body } = await this.get('/notes', caller, id)
    return (body as Array<{ text: string }>).map(({ text }) => text)
  }

  stop (signal: NodeJS.Signals): void {
    this.#process.kill(signal)
  }

  /** Sends a request without the last byte of its body, which the returned function sends. */
  async #call (method: string, path: string, caller: Caller, id: string, body?: object): Promise<() => Promise<Answer>> {
    const content = body === undefined ? {} : { 'content-type': 'application/json' }
    const headers = { authorization: `Bearer ${tokenOf(caller)}`, 'x-request-id': id, connection: 'close', ...content }
    const request = openRequest(new URL(path, await this.url()), { method, headers })
    const text = body === undefined ? '' : JSON.stringify(body)
    const response = once(request, 'response') as Promise<[IncomingMessage]>
    if (text !== '') request.write(text.slice(0, -1))
    return async () => {
      request.end(text.slice(-1))
      const [message] = await response
      return { status: message.statusCode!, body: await json(message) }
    }
  }
}
