import http from 'node:http'
import http2 from 'node:http2'
import type { Readable, Writable } from 'node:stream'
import { Client, WebSocket } from 'undici'
import { canary, type Checker } from './checker.ts'
import { exchange, leave, type Headers, type Origins } from './exchange.ts'
import type { Planned } from './plan.ts'
import type { Shuffle } from './shuffle.ts'

const STATUS: Partial<Record<Planned['shape'], number>> = { error: 418, missing: 404, timeout: 503 }

/** Sends the planned requests over a few shared connections, and checks the responses. */
export class Clients {
  readonly #agent = new http.Agent({ keepAlive: true, maxSockets: 24 })
  readonly #pipelined: Client
  readonly #session: http2.ClientHttp2Session
  readonly #origins: Origins
  readonly #checker: Checker
  readonly #shuffle: Shuffle

  constructor (origins: Origins, checker: Checker, shuffle: Shuffle) {
    this.#origins = origins
    this.#checker = checker
    this.#shuffle = shuffle
    this.#pipelined = new Client(origins.http1, { pipelining: 4 })
    this.#session = http2.connect(origins.http2)
  }

  async send (planned: Planned): Promise<void> {
    try {
      if (planned.shape === 'websocket') await this.#talk(planned)
      else if (planned.via === 'http2') await this.#sendHttp2(planned)
      else if (planned.via === 'pipelined') await this.#sendPipelined(planned)
      else await this.#sendHttp1(planned)
    } catch (error) {
      this.#checker.fail(planned.n, error)
    }
  }

  async close (): Promise<void> {
    this.#agent.destroy()
    this.#session.close()
    await this.#pipelined.close()
  }

  async #sendHttp1 (planned: Planned): Promise<void> {
    const request = http.request(`${this.#origins.http1}/${planned.shape}`, { agent: this.#agent, method: methodOf(planned), headers: headersOf(planned) })
    await exchange<http.IncomingMessage>(request, () => this.#write(planned, request), (answer) => this.#read(planned, answer.statusCode, answer.headers, answer))
  }

  async #sendHttp2 (planned: Planned): Promise<void> {
    const request = this.#session.request({ ':path': `/${planned.shape}`, ':method': methodOf(planned), ...headersOf(planned) })
    await exchange<http2.IncomingHttpHeaders>(request, () => this.#write(planned, request), (headers) => this.#read(planned, Number(headers[':status']), headers, request))
  }

  async #sendPipelined (planned: Planned): Promise<void> {
    const { statusCode, headers, body } = await this.#pipelined.request({ path: `/${planned.shape}`, method: 'GET', headers: headersOf(planned) })
    await this.#read(planned, statusCode, headers, body)
  }

  /** Writes the body in parts, or gives up in the middle. */
  async #write ({ n, shape, abort, parts }: Planned, request: Writable): Promise<void> {
    if (shape === 'json' || shape === 'chunked') {
      const quote = shape === 'json' ? '"' : ''
      request.write(quote)
      for (let i = 0; i < parts; i++) {
        request.write(`${canary(n, 'body')} `)
        await this.#shuffle.pause()
        if (abort === 'in the body') {
          leave(request)
          return
        }
      }
      request.end(quote)
    } else {
      request.end()
      if (abort !== 'while it waits') return
      for (let i = 0; i < parts; i++) await this.#shuffle.pause()
      leave(request)
    }
  }

  async #read ({ n, shape, abort }: Planned, status: number | undefined, headers: Headers, body: Readable): Promise<void> {
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
      this.#checker.body(n, text)
    }
    if (shape === 'hijack' || abort === 'in the body') return
    this.#checker.header(n, 'status', String(status), String(STATUS[shape] ?? 200))
    this.#checker.header(n, 'x-request-id', headers['x-request-id'], `request-${n}`)
    this.#checker.header(n, 'x-tenant', headers['x-tenant'], canary(n, 'tenant'))
  }

  async #talk (planned: Planned): Promise<void> {
    const socket = new WebSocket(`${this.#origins.http1.replace('http', 'ws')}/websocket`, { headers: headersOf(planned) })
    await heard(socket, 'open')
    for (let i = 0; i < planned.parts; i++) {
      const answer = heard(socket, 'message')
      socket.send(canary(planned.n, 'body'))
      this.#checker.body(planned.n, String((await answer as MessageEvent).data))
      await this.#shuffle.pause()
    }
    const closed = heard(socket, 'close')
    socket.close()
    await closed
  }
}

function heard (socket: WebSocket, event: 'open' | 'message' | 'close'): Promise<unknown> {
  return new Promise((resolve, reject) => {
    socket.addEventListener(event, resolve as never, { once: true })
    socket.addEventListener('error', () => { reject(new Error(`no ${event} of a websocket`)) }, { once: true })
  })
}

function methodOf ({ shape }: Planned): string {
  return shape === 'json' || shape === 'chunked' ? 'POST' : 'GET'
}

function headersOf ({ n, shape, parts }: Planned): Record<string, string> {
  const type = shape === 'json' ? 'application/json' : shape === 'chunked' ? 'text/parts' : undefined
  return {
    'x-number': String(n),
    'x-parts': String(parts),
    'x-request-id': `request-${n}`,
    'x-tenant-id': canary(n, 'tenant'),
    ...(type === undefined ? undefined : { 'content-type': type })
  }
}
