import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { sendBurst } from '../../../lib/testing/burst.ts'
import { Client } from '../../../lib/testing/client.ts'
import { Lockstep } from '../../../lib/testing/lockstep.ts'
import type { Pace } from '../../../lib/testing/plan.ts'
import { SentRequest } from '../../../lib/testing/sent-request.ts'

type Listener = (sent: SentRequest, request: IncomingMessage, response: ServerResponse) => void

/** Sends some requests with bodies in the order of their numbers, and completes the bodies in reverse order if the pace allows it. */
async function play (t: Test, pace: Pace, oneByOne: boolean, listener: Listener): Promise<readonly SentRequest[]> {
  const ports = new Map<number, SentRequest>()
  const server = http.createServer((request, response) => {
    const sent = ports.get(request.socket.remotePort!)!
    sent.arrive()
    listener(sent, request, response)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => { server.close() })
  const target = { server, secure: false, host: '127.0.0.1', port: (server.address() as AddressInfo).port, close: async () => {} }
  const client = new Client(target, { connections: 8, timeout: 5_000, onPort: (port, sent) => { ports.set(port, sent) } })
  t.teardown(() => { client.close() })
  const pieces = ['first, ', 'last'].map((piece) => Buffer.from(piece))
  const requests = [1, 2, 3, 4].map((number) => new SentRequest(number, 'canary', { url: '/', method: 'POST' }, 0, { pieces, chunked: false, wait: number % 2 }))
  const requestOf = (request: IncomingMessage): SentRequest | undefined => ports.get(request.socket.remotePort!)
  await sendBurst({ pace, oneByOne, requests, release: requests.toReversed(), steps: [0, 0, 0, 0] }, client, (requests) => new Lockstep(server, requests, requestOf))
  t.ok(requests.every(({ answer }) => answer?.status === 200), 'all were answered')
  return requests
}

/** Answers one turn after the body is complete, and records what happened in order. */
function telling (events: string[]): Listener {
  return (sent, request, response) => {
    events.push(`${sent.number} came`)
    request.resume()
    request.once('end', async () => {
      events.push(`${sent.number} complete`)
      await turn()
      events.push(`${sent.number} answered`)
      response.end()
    })
  }
}

t.test('together: new connections, and all requests arrive before a handler that waits one turn answers', async (t) => {
  const events: string[] = []
  await play(t, 'together', false, telling(events))
  const answered = events.findIndex((event) => event.endsWith('answered'))
  t.equal(events.slice(0, answered).filter((event) => event.endsWith('came')).length, 4, events.join())
  t.equal(events.length, 12)
})

t.test('gated: no body is complete before all requests arrived, and each is answered before the next body is complete', async (t) => {
  const events: string[] = []
  await play(t, 'gated', true, telling(events))
  t.same(events.slice(0, 4).sort(), ['1 came', '2 came', '3 came', '4 came'])
  t.same(events.slice(4), [4, 3, 2, 1].flatMap((number) => [`${number} complete`, `${number} answered`]))
})

t.test('gated, not one by one: all bodies are completed', async (t) => {
  const events: string[] = []
  await play(t, 'gated', false, telling(events))
  t.same(events.slice(0, 4).sort(), ['1 came', '2 came', '3 came', '4 came'])
  t.equal(events.length, 12)
})

t.test('gated: bodies are completed even if the server answers none before all are complete', async (t) => {
  const waiting: ServerResponse[] = []
  await play(t, 'gated', true, (_sent, request, response) => {
    request.resume()
    request.once('end', () => {
      waiting.push(response)
      if (waiting.length === 4) for (const response of waiting) response.end()
    })
  })
})

t.test('staggered: each request is sent when the previous one has arrived', async (t) => {
  const events: string[] = []
  await play(t, 'staggered', false, telling(events))
  t.same(events.filter((event) => event.endsWith('came')), ['1 came', '2 came', '3 came', '4 came'])
})

t.test('lockstep: without known handlers, all requests arrive before the first proceeds, then all proceed in order in one turn', async (t) => {
  const events: string[] = []
  await play(t, 'lockstep', false, (sent, request, response) => {
    if (events.length === 0) setImmediate(() => { events.push('a turn later') })
    events.push(`${sent.number} came`)
    request.resume()
    response.end()
  })
  t.same(events, ['4 came', '3 came', '2 came', '1 came', 'a turn later'])
})
