import http, { type ClientRequest, type IncomingMessage } from 'node:http'
import net, { type Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import tls from 'node:tls'
import { brotliDecompressSync, unzipSync } from 'node:zlib'
import { headersOf, type Answer, type SentRequest } from './sent-request.ts'
import type { Target } from './target.ts'
import { within } from './timeout.ts'

/** How many milliseconds a server may take to accept connections. */
const WARM_UP = 250

export interface ClientOptions {
  /** How many connections are kept alive and shared. */
  readonly connections: number
  /** How many milliseconds each request may take. */
  readonly timeout: number
  /** Called before a request is sent, with its local port. */
  readonly onPort: (port: number, sent: SentRequest) => void
}

/** Sends requests over shared keep-alive connections. */
export class Client {
  readonly #target: Target
  readonly #options: ClientOptions
  readonly #agent: http.Agent
  /** Connected, but not used yet. */
  readonly #fresh: Socket[] = []

  constructor (target: Target, options: ClientOptions) {
    this.#target = target
    this.#options = options
    const createConnection = (): Socket => this.#take() ?? this.#connect()
    this.#agent = Object.assign(new http.Agent({ keepAlive: true, maxSockets: options.connections }), { createConnection })
  }

  /**
   * Opens connections until there are as many as allowed. A server accepts one per turn, so requests that must arrive
   * in the same turn need open connections.
   */
  async warm (): Promise<void> {
    const { server } = this.#target
    // Each name in it has a list.
    const usable = [...this.#fresh, ...(Object.values(this.#agent.freeSockets) as Socket[][]).flat()]
    let missing = this.#options.connections - usable.filter(({ destroyed }) => !destroyed).length
    if (missing <= 0) return
    await within(WARM_UP, (done) => {
      const accept = (): void => { if (--missing === 0) done() }
      const event = this.#target.secure ? 'secureConnection' : 'connection'
      server.on(event, accept)
      for (let i = missing; i > 0; i--) this.#fresh.push(this.#connect().on('error', () => {}))
      return () => { server.off(event, accept) }
    })
  }

  /**
   * Sends a request, and stores the response or the failure on it. Never rejects.
   *
   * @param gate the body is not completed before it resolves
   */
  async send (sent: SentRequest, gate?: Promise<void>): Promise<void> {
    try {
      sent.answer = await this.#exchange(sent, gate)
    } catch (error) {
      sent.failure = error
    }
  }

  close (): void {
    this.#agent.destroy()
    for (const socket of this.#fresh.splice(0)) socket.destroy()
  }

  #exchange (sent: SentRequest, gate: Promise<void> | undefined): Promise<Answer> {
    const { timeout } = this.#options
    return new Promise((resolve, reject) => {
      const request = this.#open(sent)
      const timer = setTimeout(() => {
        fail(new Error(`no answer within ${timeout} ms`))
        request.destroy()
      }, timeout)
      const fail = (error: Error): void => {
        clearTimeout(timer)
        // The server closed it while it was idle, so the request did not reach it.
        if (request.reusedSocket && !sent.hasArrived && (error as NodeJS.ErrnoException).code === 'ECONNRESET') resolve(this.#exchange(sent, gate))
        else reject(error)
      }
      request.on('error', fail)
      request.once('response', (response: IncomingMessage) => {
        const parts: Buffer[] = []
        response.on('data', (part: Buffer) => { parts.push(part) })
        response.once('error', fail)
        response.once('end', () => {
          clearTimeout(timer)
          resolve(answerOf(response, Buffer.concat(parts)))
        })
      })
      writeBody(request, sent, gate).catch(fail)
    })
  }

  #open (sent: SentRequest): ClientRequest {
    const { host, port } = this.#target
    const request = http.request({ host, port, agent: this.#agent, method: sent.method, path: sent.request.url, headers: headersOf(sent.request) })
    request.once('socket', (socket: Socket) => {
      const tell = (): void => { this.#options.onPort(socket.localPort!, sent) }
      if (socket.connecting) socket.once('connect', tell)
      else tell()
    })
    return request
  }

  #take (): Socket | undefined {
    let socket = this.#fresh.pop()
    while (socket?.destroyed === true) socket = this.#fresh.pop()
    return socket
  }

  #connect (): Socket {
    const { secure, host, port } = this.#target
    // The certificate belongs to a test, and only canaries are sent.
    return secure ? tls.connect({ host, port, rejectUnauthorized: false }).setNoDelay() : net.connect({ host, port, noDelay: true })
  }
}

async function writeBody (request: ClientRequest, { pieces, chunked }: SentRequest, gate: Promise<void> | undefined): Promise<void> {
  if (pieces.length === 0) {
    request.end()
    return
  }
  if (!chunked && !request.hasHeader('content-length') && !request.hasHeader('transfer-encoding')) {
    request.setHeader('content-length', pieces.reduce((length, piece) => length + piece.length, 0))
  }
  request.flushHeaders()
  const [first, ...rest] = pieces as [Buffer, ...Buffer[]]
  if (gate !== undefined && rest.length === 0) await gate
  request.write(first)
  if (gate !== undefined && rest.length > 0) await gate
  for (const piece of rest) {
    if (gate !== undefined) await turn()
    request.write(piece)
  }
  request.end()
}

/** A response that has arrived completely. */
function answerOf (response: IncomingMessage, body: Buffer): Answer {
  const raw = [...response.rawHeaders, ...response.rawTrailers]
  const headers = Array.from({ length: raw.length / 2 }, (_, i) => [raw[2 * i]!.toLowerCase(), raw[2 * i + 1]!] as const)
  return { status: response.statusCode!, headers, body: decoded(body, response.headers['content-encoding']).toString() }
}

/** A body that is compressed because the request accepted it. */
function decoded (body: Buffer, encoding: string | undefined): Buffer {
  if (encoding === undefined || body.length === 0) return body
  try {
    return encoding === 'br' ? brotliDecompressSync(body) : unzipSync(body)
  } catch {
    return body
  }
}
