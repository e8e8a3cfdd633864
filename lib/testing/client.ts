import http, { type ClientRequest, type IncomingMessage } from 'node:http'
import net, { type Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import tls from 'node:tls'
import { brotliDecompressSync, unzipSync } from 'node:zlib'
import { headersOf, type Answer, type SentRequest } from './sent-request.ts'
import type { Target } from './target.ts'
import { within } from './timeout.ts'

/** Milliseconds within which a server accepts what connections it does. */
const WARM_UP = 250

export interface ClientOptions {
  /** How many connections are kept alive and shared. */
  readonly connections: number
  /** Milliseconds within which each request must be answered. */
  readonly timeout: number
  /** Called before a request is sent, with the port that it will come from. */
  readonly onPort: (port: number, sent: SentRequest) => void
}

/** Sends requests over connections that are kept alive and shared. */
export class Client {
  readonly #target: Target
  readonly #options: ClientOptions
  readonly #agent: http.Agent
  /** Connected, and not used yet. */
  readonly #fresh: Socket[] = []

  constructor (target: Target, options: ClientOptions) {
    this.#target = target
    this.#options = options
    const createConnection = (): Socket => this.#take() ?? this.#connect()
    this.#agent = Object.assign(new http.Agent({ keepAlive: true, maxSockets: options.connections }), { createConnection })
  }

  /**
   * Opens connections until there are as many as may be used. A server accepts one in a turn: requests that are to be there
   * in the same turn need connections that it has.
   */
  async warm (): Promise<void> {
    const { server } = this.#target
    // A name that is there has a list.
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
   * Sends a request, and keeps on it what came back, or what kept it from being answered. Never rejects.
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
        // Closed by the server while it was idle: the request did not reach it.
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
    // The certificate is that of a test, and nothing but canaries is sent.
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

/** An answer of which all has come. */
function answerOf (response: IncomingMessage, body: Buffer): Answer {
  const raw = [...response.rawHeaders, ...response.rawTrailers]
  const headers = Array.from({ length: raw.length / 2 }, (_, i) => [raw[2 * i]!.toLowerCase(), raw[2 * i + 1]!] as const)
  return { status: response.statusCode!, headers, body: decoded(body, response.headers['content-encoding']).toString() }
}

/** A body that the request asked to be compressed. */
function decoded (body: Buffer, encoding: string | undefined): Buffer {
  if (encoding === undefined || body.length === 0) return body
  try {
    return encoding === 'br' ? brotliDecompressSync(body) : unzipSync(body)
  } catch {
    return body
  }
}
