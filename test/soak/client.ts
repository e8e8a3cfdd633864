import http from 'node:http'
import http2 from 'node:http2'
import type { Readable, Writable } from 'node:stream'
import { Pool } from 'undici'
import type { Shuffle } from '../integration/isolation/shuffle.ts'
import { canary } from '../integration/isolation/checker.ts'
import { exchange, leave, type Headers, type Origins } from '../integration/isolation/exchange.ts'
import { bodyOf, headersOf } from './message.ts'
import { statusOf, type Planned } from './shapes.ts'
import { talk } from './talk.ts'
import type { Tally } from './tally.ts'
import { identityOf } from './visit.ts'

/** Sends the planned requests on shared connections, disconnects as planned, and checks the responses. */
export class Client {
  #agent = newAgent()
  readonly #pipelined: Pool
  readonly #sessions: readonly http2.ClientHttp2Session[]
  readonly #origins: Origins
  readonly #tally: Tally
  readonly #shuffle: Shuffle

  constructor (origins: Origins, tally: Tally, shuffle: Shuffle) {
    this.#origins = origins
    this.#tally = tally
    this.#shuffle = shuffle
    this.#pipelined = new Pool(origins.http1, { pipelining: 4, connections: 50 })
    this.#sessions = Array.from({ length: 4 }, () => http2.connect(origins.http2))
  }

  async send (planned: Planned): Promise<void> {
    try {
      if (planned.name === 'websocket') await talk(this.#origins.http1, planned, this.#tally, this.#shuffle)
      else if (planned.via === 'http2') await this.#sendHttp2(planned)
      else if (planned.via === 'pipelined') await this.#sendPipelined(planned)
      else await this.#sendHttp1(planned)
    } catch (error) {
      if (planned.abort === 'never') this.#tally.find('failed', `${planned.n}, ${planned.name} by ${planned.via}: ${(error as Error).stack}`)
    }
    this.#tally.end(planned.name)
  }

  /** Closes unused connections, because their number varies. */
  rest (): void {
    this.#agent.destroy()
    this.#agent = newAgent()
  }

  async close (): Promise<void> {
    this.#agent.destroy()
    for (const session of this.#sessions) session.close()
    await this.#pipelined.close()
  }

  async #sendHttp1 (planned: Planned): Promise<void> {
    const { method, headers } = headersOf(planned)
    const request = http.request(`${this.#origins.http1}/${planned.name}`, { agent: this.#agent, method, headers })
    await exchange<http.IncomingMessage>(request, () => this.#write(planned, request), (answer) => this.#read(planned, answer.statusCode, answer.headers, answer))
  }

  async #sendHttp2 (planned: Planned): Promise<void> {
    const { method, headers } = headersOf(planned)
    const session = this.#sessions[planned.n % this.#sessions.length]!
    const request = session.request({ ':path': `/${planned.name}`, ':method': method, ...headers })
    await exchange<http2.IncomingHttpHeaders>(request, () => this.#write(planned, request), (headers) => this.#read(planned, Number(headers[':status']), headers, request))
  }

  async #sendPipelined (planned: Planned): Promise<void> {
    const { headers } = headersOf(planned)
    const { statusCode, headers: answered, body } = await this.#pipelined.request({ path: `/${planned.name}`, method: 'GET', headers })
    await this.#read(planned, statusCode, answered, body)
  }

  /** Writes the body in parts, gives up in the middle, or gives up after a while. */
  async #write (planned: Planned, request: Writable): Promise<void> {
    for (const part of bodyOf(planned)) {
      request.write(part)
      await this.#shuffle.pause()
      if (planned.abort === 'in the body') return leave(request)
    }
    request.end()
    if (planned.abort !== 'while it waits') return
    for (let i = 0; i < planned.parts * 4; i++) await this.#shuffle.pause()
    leave(request)
  }

  async #read (planned: Planned, status: number | undefined, headers: Headers, body: Readable): Promise<void> {
    const { n, name, abort } = planned
    let text = ''
    try {
      for await (const part of body) {
        text += String(part)
        if (abort === 'in the answer') {
          leave(body)
          break
        }
      }
    } finally {
      this.#tally.answer(n, text, abort === 'never')
    }
    if (name === 'hijack' || abort !== 'never') return
    if (status !== statusOf(planned)) this.#tally.find('failed', `${n}, ${name}: ${status}, ${text.slice(0, 300)}`)
    this.#tally.headers(n, 'answer', headers, { 'x-request-id': identityOf(n).requestId, 'x-tenant': canary(n, 'tenant') })
  }
}

function newAgent (): http.Agent {
  return new http.Agent({ keepAlive: true, maxFreeSockets: 64 })
}
