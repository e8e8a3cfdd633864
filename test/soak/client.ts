import { canary } from '../support/canary.ts'
import { Client, type Answer } from '../support/client.ts'
import type { Origins } from '../support/exchange.ts'
import type { Shuffle } from '../support/shuffle.ts'
import { talk } from '../support/talk.ts'
import { messageOf } from './message.ts'
import { statusOf, type Planned } from './shapes.ts'
import type { Tally } from './tally.ts'
import { identityOf } from './visit.ts'

/** Sends the planned requests on shared connections, disconnects as planned, and checks the responses. */
export class SoakClient {
  readonly #client: Client
  readonly #origins: Origins
  readonly #tally: Tally
  readonly #shuffle: Shuffle

  constructor (origins: Origins, tally: Tally, shuffle: Shuffle) {
    this.#client = new Client(origins, shuffle, { agent: { maxFreeSockets: 64 }, pipelined: 50, sessions: 4 })
    this.#origins = origins
    this.#tally = tally
    this.#shuffle = shuffle
  }

  async send (planned: Planned): Promise<void> {
    try {
      if (planned.name === 'websocket') await this.#talk(planned)
      else await this.#client.send(messageOf(planned), (answer) => { this.#check(planned, answer) })
    } catch (error) {
      if (planned.abort === 'never') this.#tally.find('failed', `${planned.n}, ${planned.name} by ${planned.via}: ${(error as Error).stack}`)
    }
    this.#tally.end(planned.name)
  }

  /** Closes unused connections, because their number varies. */
  rest (): void {
    this.#client.rest()
  }

  async close (): Promise<void> {
    await this.#client.close()
  }

  #check (planned: Planned, { status, headers, text, whole }: Answer): void {
    const { n, name, abort } = planned
    this.#tally.answer(n, text, abort === 'never')
    if (!whole || name === 'hijack' || abort !== 'never') return
    if (status !== statusOf(planned)) this.#tally.find('failed', `${n}, ${name}: ${status}, ${text.slice(0, 300)}`)
    this.#tally.headers(n, 'answer', headers, { 'x-request-id': identityOf(n).requestId, 'x-tenant': canary(n, 'tenant') })
  }

  async #talk (planned: Planned): Promise<void> {
    const { n, parts, abort } = planned
    const messages = Array<string>(parts).fill(canary(n, 'body'))
    await talk(`${this.#origins.http1}/websocket`, { headers: messageOf(planned).headers, messages, leaves: abort !== 'never' }, async (answer) => {
      this.#tally.answer(n, answer, true)
      await this.#shuffle.pause()
    })
  }
}
