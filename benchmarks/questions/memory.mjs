// How many bytes does a request hold while it waits, over a socket, and how many does it allocate in total?
import { setImmediate as turn } from 'node:timers/promises'
import { GCProfiler } from 'node:v8'
import { injected, overSockets } from '../load.mjs'
import { startPeer } from '../peers.mjs'
import { gate } from '../peers/work.mjs'

const HELD = 10_000

export default {
  name: 'memory',
  title: 'The memory of a request',
  unit: 'B',
  base: 'bare',
  control: 'bare again',
  // Large enough to allocate for a thousand requests without a collection.
  flags: ['--expose-gc', '--min-semi-space-size=64', '--max-semi-space-size=64'],
  count: HELD,
  leastCount: HELD,
  // These cases warm up themselves.
  warmUp: 0,
  mostRounds: 1,
  mostSets: 1,
  cases: ['held by a waiting request', 'allocated by a request'],
  quickCases: ['held by a waiting request'],
  variants: ['bare', 'bare again', 'als.run by hand', 'request-context', 'fastify-ctx'],
  goals: [
    { of: 'fastify-ctx', over: 'bare', atMost: 1000, cases: ['held by a waiting request'], why: 'Besides the values, a scope keeps what it needs to end after all work of its request.' },
    { of: 'fastify-ctx', over: 'request-context', atMost: 400, why: 'Besides the values, a scope keeps what it needs to end after all work of its request.' }
  ],

  async prepare (variant) {
    const app = await startPeer(variant)
    const send = injected(app)
    // Exclude compiled code, inline caches and Fastify's pools.
    await send(3000)
    const sendAtOnce = await overSockets(app, { path: '/held', pipelined: true })
    return {
      'held by a waiting request': (most) => held(sendAtOnce, Math.min(HELD, most)),
      'allocated by a request': (most) => allocated(send, Math.min(1000, most))
    }
  }
}

async function held (sendAtOnce, count) {
  // Exclude the connections and the code compiled for them.
  await hold(sendAtOnce, Math.min(1000, count), settled)
  const before = await settled()
  const during = await hold(sendAtOnce, count, settled)
  return (during - before) / count
}

/** The result of `look` while this many requests wait. */
async function hold (sendAtOnce, count, look) {
  const answered = sendAtOnce(count)
  while (gate.waiting < count) await turn()
  const found = await look()
  gate.open()
  await answered
  gate.close()
  return found
}

/** The used heap after everything collectable is collected. */
async function settled () {
  for (let i = 0; i < 5; i++) {
    await turn()
    globalThis.gc()
  }
  return process.memoryUsage().heapUsed
}

async function allocated (send, count) {
  await settled()
  // Code that is not compiled allocates more, and collections have discarded compiled code.
  await send(5 * count)
  // Repeat it after a collection, when there is room for all of them.
  for (;;) {
    const profiler = new GCProfiler()
    profiler.start()
    const before = process.memoryUsage().heapUsed
    await send(count)
    const { heapUsed } = process.memoryUsage()
    if (profiler.stop().statistics.length === 0) return (heapUsed - before) / count
  }
}
