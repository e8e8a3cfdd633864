import { EventEmitter } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { Shuffle } from '../support/shuffle.ts'
import { Accidents } from './accidents.ts'
import type { Bench } from './bench.ts'
import { SoakClient } from './client.ts'
import { makeContext } from './context.ts'
import { Faults } from './faults.ts'
import { heapUsed, slopeOf } from './heap.ts'
import { Jobs } from './jobs.ts'
import { idle, load } from './load.ts'
import type { Options } from './options.ts'
import { Pool } from './pool.ts'
import { Scopes } from './scopes.ts'
import { serve } from './service.ts'
import { SHAPES } from './shapes.ts'
import { Tally } from './tally.ts'
import { startUpstream } from './upstream.ts'
import type { Outcome } from './verdict.ts'

/** Runs a service and its clients in this process, and returns the result when all have ended. */
export async function soak (options: Options, tell: (text: string) => void): Promise<Outcome> {
  const accidents = new Accidents()
  accidents.watch()
  const scopes = new Scopes()
  const tally = new Tally()
  scopes.watch((requestId) => { tally.forget(requestId) })
  const shuffle = new Shuffle(options.seed)
  const upstream = await startUpstream(tally, shuffle)
  const ctx = makeContext(upstream.listed)
  const bench: Bench = {
    ctx,
    tally,
    shuffle,
    upstream,
    jobs: new Jobs(ctx, tally, shuffle),
    pool: new Pool(ctx, tally),
    emitter: ctx.bindEmitter(new EventEmitter().setMaxListeners(0)),
    faults: new Faults(ctx, shuffle, options.plant),
    track: (object) => { scopes.track(object) },
    load: { open: 0, most: 0 },
    byHand: options.byHand
  }
  const http1 = await serve(bench, false)
  const http2 = await serve(bench, true)
  const client = new SoakClient({ http1: originOf(http1), http2: originOf(http2) }, tally, shuffle)
  const isIdle = (): boolean => bench.load.open === 0 && bench.jobs.idle && tally.work.begun === tally.work.done

  const begin = Date.now()
  const loaded = await load(options, {
    tell,
    isIdle,
    send: async (planned) => { await client.send(planned) },
    rest () {
      client.rest()
      upstream.server.closeIdleConnections()
    }
  })
  const seconds = (Date.now() - begin) / 1000
  if (loaded.stuck > 0) tally.find('failed', `${loaded.stuck} requests never ended`)
  else {
    await client.close()
    await Promise.all([http1.close(), http2.close()])
  }
  await idle(isIdle)
  // Scopes end in the turn after their connections closed.
  await idle(() => scopes.opened === scopes.ended, 2000)
  if (!isIdle()) tally.find('failed', `${bench.load.open} requests are open, ${tally.work.begun} pieces of work were begun and ${tally.work.done} done`)
  const thread = await bench.pool.count()
  scopes.stop()
  await heapUsed()
  const { seen, wrong, shapes } = tally
  if (scopes.odd > 0) tally.find('failed', `${scopes.odd} scopes opened or ended twice`)
  for (const line of [...tally.told, ...accidents.told]) tell(line)
  tell(`looked at ${JSON.stringify(seen)}, in the thread ${thread.opened} scopes, accidents ${JSON.stringify(accidents.counts)}`)
  await bench.pool.close()
  upstream.server.closeAllConnections()
  upstream.server.close()
  const { excused, ...looks } = seen
  return {
    requests: loaded.requests,
    seconds,
    most: bench.load.most,
    crossings: wrong.crossing,
    lost: wrong.lost,
    failed: wrong.failed,
    unhandled: accidents.counts.rejections + accidents.counts.exceptions + accidents.counts.warnings,
    opened: scopes.opened + thread.opened,
    ended: scopes.ended + thread.opened - thread.open,
    alive: scopes.alive,
    looks: { ...looks, ...Object.fromEntries(Object.keys(SHAPES).map((name) => [name, shapes.get(name) ?? 0])) },
    heap: slopeOf(loaded.samples),
    seed: options.seed
  }
}

function originOf (app: FastifyInstance): string {
  return `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
}
