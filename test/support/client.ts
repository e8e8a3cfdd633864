import http from 'node:http'
import http2 from 'node:http2'
import type { Readable, Writable } from 'node:stream'
import { Pool } from 'undici'
import { exchange, leave, type Headers, type Origins } from './exchange.ts'
import type { Shuffle } from './shuffle.ts'

export type Via = 'keep-alive' | 'pipelined' | 'http2'
export type Abort = 'never' | 'in the body' | 'while it waits' | 'in the answer'

/** A request: its transport, its parts, and when its client leaves. */
export interface Message {
  readonly via: Via
  readonly abort: Abort
  readonly path: string
  readonly method: 'GET' | 'POST'
  readonly headers: Readonly<Record<string, string>>
  /** The parts of the body, each sent separately. */
  readonly body: readonly string[]
  /** How often a client that leaves while it waits pauses before it does. */
  readonly patience: number
}

/** The response to a message. */
export interface Answer {
  readonly status: number | undefined
  readonly headers: Headers
  readonly text: string
  /** Whether the response was read to its end, or as far as the client wanted. */
  readonly whole: boolean
}

/** How many connections of each kind a client opens. */
export interface Connections {
  readonly agent: http.AgentOptions
  readonly pipelined: number
  readonly sessions: number
}

/** Sends requests on shared connections and disconnects as planned, for tests that send many requests at once. */
export class Client {
  #agent: http.Agent
  readonly #options: http.AgentOptions
  readonly #pipelined: Pool
  readonly #sessions: readonly http2.ClientHttp2Session[]
  readonly #origins: Origins
  readonly #shuffle: Shuffle
  #sent = 0

  constructor (origins: Origins, shuffle: Shuffle, { agent, pipelined, sessions }: Connections) {
    this.#origins = origins
    this.#shuffle = shuffle
    this.#options = { ...agent, keepAlive: true }
    this.#agent = new http.Agent(this.#options)
    this.#pipelined = new Pool(origins.http1, { pipelining: 4, connections: pipelined })
    this.#sessions = Array.from({ length: sessions }, () => http2.connect(origins.http2))
  }

  /** Sends a message, and passes its response on, if there is one. A response that fails is passed on as far as it came. */
  async send (message: Message, read: (answer: Answer) => void): Promise<void> {
    if (message.via === 'http2') await this.#sendHttp2(message, read)
    else if (message.via === 'pipelined') await this.#sendPipelined(message, read)
    else await this.#sendHttp1(message, read)
  }

  /** Closes unused connections, because their number varies. */
  rest (): void {
    this.#agent.destroy()
    this.#agent = new http.Agent(this.#options)
  }

  async close (): Promise<void> {
    this.#agent.destroy()
    for (const session of this.#sessions) session.close()
    await this.#pipelined.close()
  }

  async #sendHttp1 (message: Message, read: (answer: Answer) => void): Promise<void> {
    const { method, path, headers } = message
    const request = http.request(`${this.#origins.http1}${path}`, { agent: this.#agent, method, headers })
    await exchange<http.IncomingMessage>(request, () => this.#write(message, request), (answer) => this.#read(message, answer.statusCode, answer.headers, answer, read))
  }

  async #sendHttp2 (message: Message, read: (answer: Answer) => void): Promise<void> {
    const { method, path, headers } = message
    const session = this.#sessions[this.#sent++ % this.#sessions.length]!
    const request = session.request({ ':path': path, ':method': method, ...headers })
    await exchange<http2.IncomingHttpHeaders>(request, () => this.#write(message, request), (headers) => this.#read(message, Number(headers[':status']), headers, request, read))
  }

  async #sendPipelined (message: Message, read: (answer: Answer) => void): Promise<void> {
    const { method, path, headers } = message
    const response = await this.#pipelined.request({ path, method, headers })
    await this.#read(message, response.statusCode, response.headers, response.body, read)
  }

  /** Writes the body in parts, leaves in the middle, or leaves after a while. */
  async #write ({ abort, body, patience }: Message, request: Writable): Promise<void> {
    for (const part of body) {
      request.write(part)
      await this.#shuffle.pause()
      if (abort === 'in the body') return leave(request)
    }
    request.end()
    if (abort !== 'while it waits') return
    for (let i = 0; i < patience; i++) await this.#shuffle.pause()
    leave(request)
  }

  async #read ({ abort }: Message, status: number | undefined, headers: Headers, body: Readable, read: (answer: Answer) => void): Promise<void> {
    let [text, whole] = ['', false]
    try {
      for await (const part of body) {
        text += String(part)
        if (abort === 'in the answer') {
          leave(body)
          break
        }
      }
      whole = true
    } finally {
      read({ status, headers, text, whole })
    }
  }
}
