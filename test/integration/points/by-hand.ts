import { randomInt } from 'node:crypto'
import { EventEmitter } from 'node:events'
import { MessageChannel } from 'node:worker_threads'
import type { FastifyRequest } from 'fastify'
import { COMPLETED, TENANTS, type Area, type Bench } from './bench.ts'
import { ctx } from './subjects.ts'

type Look = () => void

/** A place that no plugin can reach, and the call that carries the scope there. */
export interface Place {
  readonly name: string
  readonly api: string
  /** Makes other code call `look` for this request, passed through `carry` if the scope is carried. */
  readonly visit: (look: Look, carried: boolean, request: FastifyRequest) => unknown
}

/** A resource that requests share. It fires when all have asked for it, outside the code of each. */
function shared<T> (size: number, fire: (things: T[]) => void): (thing: T) => void {
  let things: T[] = []
  const outside = ctx.snapshot()
  return (thing) => {
    things.push(thing)
    if (things.length < size) return
    const all = things
    things = []
    outside(() => { setImmediate(() => { fire(all) }) })
  }
}

function placesOf (bench: Bench): Place[] {
  const carry = (look: Look, carried: boolean): Look => carried ? ctx.bind(look) : look
  const emitter = new EventEmitter()
  const boundEmitter = ctx.bindEmitter(new EventEmitter())
  const fireEmitters = shared(2, () => { emitter.emit('event'); boundEmitter.emit('event') })
  const control = new AbortController()
  const fireSignal = shared<void>(4, () => { control.abort() })
  const { port1, port2 } = new MessageChannel()
  port1.on('message', () => {}).unref()
  const firePort = shared<void>(4, () => { port2.postMessage('message') })
  bench.onClose(() => { port1.close() })
  const queue: Look[] = []
  const runQueue = (task: Look): void => {
    queue.push(task)
    // The last request runs the tasks of all.
    if (queue.length === 4) setImmediate(() => { for (const task of queue.splice(0)) task() })
  }
  const emitOnSockets = shared<EventEmitter>(4, (sockets) => { for (const socket of sockets) socket.emit('look') })
  const generators: Array<AsyncGenerator<void>> = []
  const carriedGenerators: Array<AsyncGenerator<void>> = []

  return [
    {
      name: 'listener on an EventEmitter that requests share',
      api: 'ctx.bindEmitter',
      visit (look, carried) { (carried ? boundEmitter : emitter).once('event', look); fireEmitters(undefined as never) }
    },
    { name: 'listener on an AbortSignal that requests share', api: 'ctx.bind', visit (look, carried) { control.signal.addEventListener('abort', carry(look, carried)); fireSignal() } },
    { name: '\'message\' of a MessagePort or Worker that requests share', api: 'ctx.bind', visit (look, carried) { port1.once('message', carry(look, carried)); firePort() } },
    { name: 'task of a queue that requests share', api: 'ctx.bind', visit (look, carried) { runQueue(carry(look, carried)) } },
    { name: 'callback of crypto.randomInt', api: 'ctx.bind', visit (look, carried) { randomInt(10, carry(look, carried)) } },
    {
      name: 'event of the TCP socket, which requests share (request.raw.socket)',
      api: 'ctx.bind',
      visit (look, carried, request) { request.raw.socket.once('look', carry(look, carried)); emitOnSockets(request.raw.socket) }
    },
    {
      name: 'async generator that another request advances',
      api: 'ctx.bindIterable',
      async visit (look, carried) {
        const plain = (async function * () {
          yield
          look()
        })()
        const own = carried ? ctx.bindIterable(plain) : plain
        const all = carried ? carriedGenerators : generators
        all.push(own)
        await own.next()
        await bench.meet(`generators ${carried}`)
        await all.find((generator) => generator !== own)?.next()
      }
    }
  ]
}

/** What no plugin can fix: the same place without help, and by hand. */
export const byHand: Area = {
  name: 'By hand',
  transports: ['http1'],
  async visit (bench) {
    const places = placesOf(bench)
    await bench.app((app) => {
      app.get<{ Params: { place: string, carried: string } }>('/:place/:carried', async (request) => {
        const { name, api, visit } = places[Number(request.params.place)]!
        const carried = request.params.carried === 'true'
        const point = carried ? `${name}, with ${api}` : name
        await bench.meet(`place ${request.params.place}`, 4)
        await visit(() => { bench.see(point, request) }, carried, request)
        await bench.until(point)
        return 'text'
      })
    })
    for (const i of places.keys()) {
      await Promise.all(TENANTS.flatMap((tenant) => [true, false].map((carried) => bench.ask({ tenant, path: `/${i}/${carried}` }))))
    }
    bench.points.delete(COMPLETED)
  }
}
