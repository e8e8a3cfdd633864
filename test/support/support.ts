// Shared by the tests: log lines as they are written, gates, servers on real sockets, raw HTTP, features of the installed Fastify.
import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'
import Fastify, { type FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { gate, type Gate } from '../../lib/testing/gate.ts'

export type Tap = Test

/** A parsed log line. */
export type LogLine = Readonly<Record<string, any>>

/** The names that an object of a JSON text contains twice, which `JSON.parse` would hide. */
export function repeatedNames (json: string): string[] {
  const repeated: string[] = []
  const open: Array<Set<string>> = []
  for (const [token, text, colon] of json.matchAll(/"((?:[^"\\]|\\.)*)"(\s*:)?|[{}]/g)) {
    if (token === '{') open.push(new Set())
    else if (token === '}') open.pop()
    else if (colon !== undefined) {
      const name = JSON.parse(`"${text}"`) as string
      const names = open.at(-1)!
      if (names.has(name)) repeated.push(name)
      names.add(name)
    }
  }
  return repeated
}

/** A destination for pino. Checks each line that is read: it must be valid JSON without duplicate names. */
export class Lines {
  readonly #t: Tap
  readonly #waiting: Array<() => void> = []
  raw: string[] = []

  constructor (t: Tap) {
    this.#t = t
  }

  write (line: string): void {
    this.raw.push(line)
    for (const look of this.#waiting) look()
  }

  /** The lines with a message, or all. */
  all (message?: string, messageKey = 'msg'): LogLine[] {
    const lines = this.raw.map((line) => JSON.parse(line) as LogLine)
    this.#t.same(this.raw.filter((line) => repeatedNames(line).length > 0), [], 'no name stands twice on a line')
    return message === undefined ? lines : lines.filter((line) => line[messageKey] === message)
  }

  /** The only line with a message. */
  one (message: string, messageKey?: string): LogLine {
    const found = this.all(message, messageKey)
    this.#t.equal(found.length, 1, `'${message}' was written once`)
    return found[0]!
  }

  /** Waits until this many lines contain a text. */
  async until (text: string, times = 1): Promise<void> {
    const { promise, open } = gate()
    const look = (): void => {
      if (this.raw.filter((line) => line.includes(text)).length >= times) open()
    }
    this.#waiting.push(look)
    look()
    await promise
  }
}

export { gate, type Gate }

/** Starts an application on a socket for one test, and returns its address. */
export async function listen (t: Tap, app: FastifyInstance<any, any, any, any, any>): Promise<{ readonly url: string, readonly port: number }> {
  t.teardown(() => app.close())
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, port }
}

/** Sends bytes, and reads the response until the server closes the connection. */
export async function exchange (port: number, request: string): Promise<string> {
  const socket = net.connect(port, '127.0.0.1')
  const parts: Buffer[] = []
  socket.on('data', (part) => { parts.push(part) })
  socket.write(request, 'latin1')
  await once(socket, 'close')
  return Buffer.concat(parts).toString('latin1')
}

/** The process warnings with this code, or without any, emitted from now on. */
export function warnings (t: Tap, code: string | undefined): Error[] {
  const seen: Error[] = []
  const look = (warning: Error & { code?: string }): void => { if (warning.code === code) seen.push(warning) }
  process.on('warning', look)
  t.teardown(() => { process.removeListener('warning', look) })
  return seen
}

/** Keeps this turn of the event loop busy. */
export function block (milliseconds: number): void {
  const until = performance.now() + milliseconds
  while (performance.now() < until);
}

/** Waits for microtasks, immediates and the events of closed sockets. */
export async function turns (count = 3): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => { setImmediate(resolve) })
}

/** The unhandled rejections from now to the end of a test. Without this they would end the process. */
export function unhandled (t: Tap): unknown[] {
  const told: unknown[] = []
  const before = process.listeners('unhandledRejection')
  process.removeAllListeners('unhandledRejection')
  process.on('unhandledRejection', (error) => { told.push(error) })
  t.teardown(() => {
    process.removeAllListeners('unhandledRejection')
    for (const listener of before) process.on('unhandledRejection', listener)
  })
  return told
}

/** Features that tests need and Fastify 5.0 lacks, with the version that added them. */
const SINCE = { childLoggerFactory: [5, 6, 2], handlerTimeout: [5, 8, 0], LogController: [5, 10, 0], answersOnce: [5, 12, 8] } as const

/**
 * Whether the installed Fastify has a feature added after 5.0. If not, a test asserts what holds without it.
 *
 * `childLoggerFactory`: as a server option. Older versions do not call it.
 * `answersOnce`: with inject, a request whose body `@fastify/reply-from` cannot forward is answered once. In older versions the
 * second answer ends the process, with or without a context.
 */
export function fastifyHas (what: keyof typeof SINCE): boolean {
  const installed = Fastify().version.split('.').map((part) => Number.parseInt(part))
  const differs = SINCE[what].findIndex((part, i) => part !== installed[i])
  return differs === -1 || installed[differs]! > SINCE[what][differs]!
}
