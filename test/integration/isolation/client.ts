import { Client, type Answer, type Message } from '../../support/client.ts'
import { canary } from '../../support/canary.ts'
import type { Origins } from '../../support/exchange.ts'
import type { Shuffle } from '../../support/shuffle.ts'
import { talk } from '../../support/talk.ts'
import type { Checker } from './checker.ts'
import type { Planned } from './plan.ts'

const STATUS: Partial<Record<Planned['shape'], number>> = { error: 418, missing: 404, timeout: 503 }

/** Sends the planned requests over a few shared connections, and checks the responses. */
export class Clients {
  readonly #client: Client
  readonly #origins: Origins
  readonly #checker: Checker
  readonly #shuffle: Shuffle

  constructor (origins: Origins, checker: Checker, shuffle: Shuffle) {
    this.#client = new Client(origins, shuffle, { agent: { maxSockets: 24 }, pipelined: 1, sessions: 1 })
    this.#origins = origins
    this.#checker = checker
    this.#shuffle = shuffle
  }

  async send (planned: Planned): Promise<void> {
    try {
      if (planned.shape === 'websocket') await this.#talk(planned)
      else await this.#client.send(messageOf(planned), (answer) => { this.#check(planned, answer) })
    } catch (error) {
      this.#checker.fail(planned.n, error)
    }
  }

  async close (): Promise<void> {
    await this.#client.close()
  }

  #check ({ n, shape, abort }: Planned, { status, headers, text, whole }: Answer): void {
    this.#checker.body(n, text)
    if (!whole || shape === 'hijack' || abort === 'in the body') return
    this.#checker.header(n, 'status', String(status), String(STATUS[shape] ?? 200))
    this.#checker.header(n, 'x-request-id', headers['x-request-id'], `request-${n}`)
    this.#checker.header(n, 'x-tenant', headers['x-tenant'], canary(n, 'tenant'))
  }

  async #talk (planned: Planned): Promise<void> {
    const messages = Array<string>(planned.parts).fill(canary(planned.n, 'body'))
    await talk(`${this.#origins.http1}/websocket`, { headers: messageOf(planned).headers, messages, leaves: false }, async (answer) => {
      this.#checker.body(planned.n, answer)
      await this.#shuffle.pause()
    })
  }
}

function messageOf ({ n, shape, via, abort, parts }: Planned): Message {
  const type = shape === 'json' ? 'application/json' : shape === 'chunked' ? 'text/parts' : undefined
  const texts = Array<string>(parts).fill(`${canary(n, 'body')} `)
  return {
    via,
    abort,
    path: `/${shape}`,
    method: type === undefined ? 'GET' : 'POST',
    headers: {
      'x-number': String(n),
      'x-parts': String(parts),
      'x-request-id': `request-${n}`,
      'x-tenant-id': canary(n, 'tenant'),
      ...(type === undefined ? undefined : { 'content-type': type })
    },
    body: type === undefined ? [] : shape === 'json' ? ['"', ...texts, '"'] : texts,
    patience: parts
  }
}
