import { canary } from '../support/canary.ts'
import { bindByHand, type Served } from './bench.ts'
import { visitOf } from './visit.ts'

/** Hooks that delay the end of a scope once they have begun. */
const LAST: readonly string[] = ['onResponse', 'onTimeout', 'onRequestAbort']

/** Two hooks of each kind: one continues by a callback from elsewhere, the next one must see the right values. */
export function addHooks (served: Served): void {
  const { app, ctx, looker, shuffle } = served
  for (const name of ['onRequest', 'preValidation', 'preHandler', 'onResponse', 'onTimeout'] as const) {
    const always = LAST.includes(name)
    app.addHook(name as 'onRequest', (request, _reply, done) => { looker.look(request, name, { always }); shuffle.later(done) })
    app.addHook(name as 'onRequest', async (request) => {
      looker.look(request, `${name}, next`, { always })
      await shuffle.pause()
      looker.look(request, `${name}, awaited`, { always })
    })
  }
  for (const name of ['preParsing', 'preSerialization', 'onSend'] as const) {
    app.addHook(name as 'onSend', (request, _reply, payload, done) => { looker.look(request, name); shuffle.later(() => { done(null, payload) }) })
    app.addHook(name as 'onSend', async (request, _reply, payload) => { looker.look(request, `${name}, next`); await shuffle.pause(); return payload })
  }
  app.addHook('onError', (request, _reply, _error, done) => { looker.look(request, 'onError'); shuffle.later(done) })
  app.addHook('onRequestAbort', (request, done) => { looker.look(request, 'onRequestAbort', { always: true }); shuffle.later(done) })
  app.addHook('onSend', async (request, reply) => {
    if (!visitOf(request).closed) reply.header('x-tenant', ctx.get('tenant') ?? 'none')
  })
  addUser(served)
  addListeners(served)
}

/** The user is known only after a lookup. */
function addUser ({ app, ctx, shuffle, tally, faults, looker, track }: Served): void {
  app.addHook('preHandler', async (request) => {
    const visit = visitOf(request)
    await shuffle.pause()
    // A set would throw in a scope that has ended.
    if (visit.closed) return
    const user = { id: canary(visit.n, 'user') }
    track(user)
    ctx.set('user', user)
    visit.known = true
    tally.know(visit.n)
    faults.handle(request, looker)
  })
}

/** Listeners of Node's own objects. Events in the turn of the end still have the values. */
function addListeners (served: Served): void {
  const { app, looker } = served
  app.addHook('onRequest', async (request, reply) => {
    for (const event of ['end', 'close'] as const) request.raw.on(event, bindByHand(served, request, () => { looker.look(request, `request.raw ${event}`, { always: event === 'end' }) }))
    for (const event of ['finish', 'close'] as const) reply.raw.on(event, bindByHand(served, request, () => { looker.look(request, `reply.raw ${event}`, { always: true }) }))
  })
}
