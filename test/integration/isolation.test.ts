import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { Checker, type Kind } from './isolation/checker.ts'
import { Clients } from './isolation/client.ts'
import { plan } from './isolation/plan.ts'
import { serve } from './isolation/server.ts'
import { Shuffle } from '../support/shuffle.ts'
import { moduleVariable, ours, plainStorage, type Subject } from './isolation/subjects.ts'

const SEED = Number(process.env.SEED ?? Date.now() % 1e9)

/** Sends all planned requests at once, and returns what was found when every request has ended. */
async function play (seed: number, count: number, make: (shuffle: Shuffle) => Subject): Promise<Checker> {
  const planned = plan(seed, count)
  const checker = new Checker(planned)
  const shuffle = new Shuffle(seed + 1)
  const run = { subject: make(shuffle), shuffle, checker }

  // Answers in two parts, the second after others were served.
  const upstream = http.createServer((request, response) => {
    response.write(`${request.headers['x-told']} `)
    shuffle.later(() => { response.end('and more') })
  })
  await once(upstream.listen(0, '127.0.0.1'), 'listening')
  const http1 = await serve(run, { http2: false, upstream: originOf(upstream) })
  const http2 = await serve(run, { http2: true, upstream: '' })

  const clients = new Clients({ http1: originOf(http1.server), http2: originOf(http2.server) }, checker, shuffle)
  await Promise.all(planned.map(async (planned) => { await clients.send(planned) }))
  await clients.close()
  await Promise.all([http1.close(), http2.close()])
  upstream.closeAllConnections()
  upstream.close()
  return checker
}

function originOf (server: Pick<FastifyInstance['server'], 'address'>): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

t.test('a plan depends only on its seed', async (t) => {
  t.same(plan(7, 400), plan(7, 400))
  t.notSame(plan(7, 400), plan(8, 400))
})

t.test('400 concurrent requests of all shapes and endings: no request sees another one\'s values', async (t) => {
  t.comment(`SEED=${SEED}`)
  const { problems, counts } = await play(SEED, 400, ours)
  t.comment(`looked at: ${JSON.stringify(counts)}`)
  t.equal(problems.length, 0, `no problem with SEED=${SEED}`)
  for (const { kind, what } of problems.slice(0, 20)) t.fail(`${kind} of ${what}`)
  t.ok(counts.open >= 50, 'many were open at once')
  t.ok(counts.read > 400 * 40 && counts.line > 400 * 40, 'each request was looked at from many points')
  t.ok(counts.header > 400 && counts.body > 300, 'and responses were read')
})

t.test('the same check finds a context kept in a module variable', async (t) => {
  const found = new Set(foreignIn(await play(SEED, 60, moduleVariable)))
  for (const kind of ['read', 'line', 'header', 'body']) t.ok(found.has(kind as Kind), `by a ${kind}`)
})

t.test('the same check finds what a plain AsyncLocalStorage loses', async (t) => {
  const found = new Set(foreignIn(await play(SEED, 60, plainStorage)))
  for (const kind of ['read', 'line'] as const) t.ok(found.has(kind), `by a ${kind}`)
})

/** The kinds of problems that show another request's value, and not only a missing one. */
function foreignIn ({ problems }: Checker): Kind[] {
  return problems.filter(({ foreign }) => foreign).map(({ kind }) => kind)
}
