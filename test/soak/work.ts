import { once } from 'node:events'
import { canary } from '../support/canary.ts'
import { planned, tell, type Served } from './bench.ts'
import { visitOf } from './visit.ts'

/** Routes that work in their own scope and in nested scopes. */
export function addWork (served: Served): void {
  const { app, ctx, looker, shuffle, tally, emitter } = served
  const load = ctx.memo(async (what: string) => {
    const before = ctx.get('tenant')
    await shuffle.pause()
    return { before, what, tenant: ctx.get('tenant') }
  })

  app.get('/nested', async (request) => {
    const { n } = visitOf(request)
    const branch = async (tenant: string): Promise<string | undefined> => await ctx.run({ tenant: canary(n, tenant) }, async () => {
      looker.look(request, 'branch', { tenant })
      await shuffle.pause()
      await ctx.run({ tenant: canary(n, 'innermost') }, async () => { await shuffle.pause(); looker.look(request, 'innermost', { tenant: 'innermost' }) })
      looker.look(request, 'branch, after the innermost', { tenant })
      return ctx.get('tenant')
    })
    const within = await Promise.all([branch('left'), branch('right'), tell(served, request, 'beside the branches')])
    await ctx.run({}, async () => { await shuffle.pause(); throw planned(n) }).catch(() => {})
    return { ...await tell(served, request, 'after the branches'), within }
  })

  app.get('/memo', async (request) => {
    const visit = visitOf(request)
    const [first, second] = await Promise.all([load('row'), load('row')])
    if (first !== second && !visit.closed) tally.find('failed', `${visit.n}: memo called twice`)
    tally.read(visit, 'memo', first.tenant, canary(visit.n, 'tenant'))
    const inner = await ctx.run({ tenant: canary(visit.n, 'inner') }, async () => await load('row'))
    tally.read(visit, 'memo, inner', inner.tenant, canary(visit.n, 'inner'))
    const kept = await ctx.cache.getOrSet('who', async () => { await shuffle.pause(); return ctx.get('tenant') })
    tally.read(visit, 'cache', kept, canary(visit.n, 'tenant'))
    return { ...await tell(served, request, 'memo handler'), kept, before: first.before }
  })

  app.get('/impersonate', async (request) => {
    const { n } = visitOf(request)
    const as = { user: 'customer' }
    const within = await ctx.impersonate({ user: { id: canary(n, 'customer') } }, { reason: 'ticket' }, async () => {
      looker.look(request, 'impersonated', as)
      await shuffle.pause()
      looker.look(request, 'impersonated, after a pause', as)
      tally.read(visitOf(request), 'actor', ctx.actor('user')?.id, canary(n, 'user'))
      served.jobs.add(n, looker, as)
      return (await served.pool.run(n, as)).seen
    })
    return { ...await tell(served, request, 'after the impersonation'), within }
  })

  app.get('/bound', async (request) => {
    const inScope = ctx.snapshot()
    const heard = new Promise<void>((resolve) => {
      emitter.once('tick', () => { looker.look(request, 'listener of a shared emitter'); resolve() })
    })
    const called = new Promise<void>((resolve) => {
      shuffle.later(ctx.bind(() => { looker.look(request, 'bound'); resolve() }))
    })
    const resumed = new Promise<void>((resolve) => {
      shuffle.later(() => { inScope(() => { looker.look(request, 'snapshot'); resolve() }) })
    })
    shuffle.later(() => { emitter.emit('tick') })
    await Promise.all([heard, called, resumed])
    return await tell(served, request, 'after bound callbacks')
  })

  app.get('/limited', async (request) => {
    const reason = await ctx.run({ tenant: canary(visitOf(request).n, 'inner') }, async () => {
      const { signal } = ctx
      if (!signal.aborted) await once(signal, 'abort')
      looker.look(request, 'after the limit', { tenant: 'inner' })
      return (signal.reason as Error).name
    }, { timeout: 20 })
    return { ...await tell(served, request, 'limited handler'), reason }
  })

  app.get('/gone', async (request) => {
    const { signal } = ctx
    signal.addEventListener('abort', () => { looker.look(request, 'listener of ctx.signal', { always: true }) })
    if (!signal.aborted) await once(signal, 'abort')
    looker.look(request, 'after the client was gone')
    return await tell(served, request, 'handler without a client')
  })
}
