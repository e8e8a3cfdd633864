import { planned, tell, type Served } from './bench.ts'
import { visitOf } from './visit.ts'

/** Routes with work beyond the request: after its response, on another server, in a thread, in a job. */
export function addErrands (served: Served): void {
  const { app, ctx, looker, shuffle, tally, upstream, jobs, pool } = served
  /** Defers or starts work. Once accepted, it must run, regardless of what happens to the request. */
  const give = (to: (work: () => Promise<void>) => void, n: number, point: string): void => {
    to(async () => {
      looker.see(n, point)
      await shuffle.pause()
      looker.see(n, `${point}, after a pause`)
      tally.work.done++
      if (n % 7 === 0) throw planned(n)
    })
    tally.work.begun++
  }
  const onEnd = ctx.onEnd.bind(ctx)

  app.get('/background', async (request) => {
    const { n, closed } = visitOf(request)
    // After the end no work may be deferred.
    if (closed) return
    // The others wait only for the callbacks of a run.
    if (n % 2 === 0) {
      give(onEnd, n, 'onEnd')
      give(onEnd, n, 'onEnd, the first to run')
    }
    give(ctx.after.bind(ctx), n, 'after')
    give(ctx.detach.bind(ctx), n, 'detached')
    const told = await tell(served, request, 'handler with work behind it')
    await ctx.run({}, async () => {
      await shuffle.pause()
      // The client may have left during the pause, and the values may be gone: only a scope that has not ended accepts these.
      if (visitOf(request).closed) return
      for (const which of ['last', 'second', 'first']) give(onEnd, n, `onEnd of a run, the ${which} to run`)
    })
    return told
  })

  app.get('/call', async (request) => {
    const { n } = visitOf(request)
    const { signal } = ctx
    const texts = await Promise.all([upstream.listed, upstream.unlisted].map(async (origin) => {
      const response = await fetch(`${origin}/${n}`, { signal })
      looker.look(request, 'after fetch')
      return await response.text()
    }))
    looker.look(request, 'after the body of fetch')
    return { ...await tell(served, request, 'calling handler'), texts }
  })

  app.get('/job', async (request) => {
    const { n, closed } = visitOf(request)
    if (!closed) jobs.add(n, looker)
    return await tell(served, request, 'handler with a job')
  })

  app.get('/thread', async (request) => {
    const { seen } = await pool.run(visitOf(request).n)
    return { ...await tell(served, request, 'handler with a thread'), seen }
  })
}
