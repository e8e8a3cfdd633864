// The guarantees of the notes example, with any PostgreSQL.
import type { Tap } from '../support/support.ts'
import type { Caller, Service } from './notes-service.ts'

const ada = { sub: 'ada', tenant: 'acme' }
const lin = { sub: 'lin', tenant: 'globex' }

/** Tenant names that are special in SQL, or that a careless comparison confuses. */
const STRANGE = [
  "' or '1'='1", "x'); reset role; drop table notes; --", "acme'--", '%', '_cme', '*', '$1', '"', '\\', 'ACME', 'acme ', 'null', 'a\nb', 'ácme', '日本', 'x'.repeat(1000)
]

export async function keepsPromises (t: Tap, service: Service): Promise<void> {
  t.test('tenants A, B, A use one connection in turn, held by a gate: each sees its own rows', async (t) => {
    const first = await service.hold(ada, 'a-1', 'of acme, begun first')
    t.equal((await service.post('/notes', lin, 'b-1', { text: 'of globex' })).status, 201)
    t.same(await service.texts(ada, 'a-2'), [])
    const second = await service.hold(lin, 'b-2', 'of globex, begun last')
    t.match(await first(), { status: 201, body: { tenant: 'acme', author: 'ada' } })
    t.same(await service.texts(lin, 'b-3'), ['of globex'])
    t.same(await service.texts(ada, 'a-3'), ['of acme, begun first'])
    t.match(await second(), { status: 201, body: { tenant: 'globex', author: 'lin' } })
    t.same(await service.texts(lin), ['of globex', 'of globex, begun last'])

    for (const id of ['a-1', 'b-1', 'b-2']) await service.line(`"reqId":"${id}"`, 'request completed')
    const turns = service.output.filter((line) => /"name":"database".*"reqId":"[ab]-\d"/.test(line)).map((line) => /"reqId":"(.-\d)"/.exec(line)![1])
    t.same(turns, ['a-1', 'b-1', 'b-1', 'a-2', 'b-2', 'a-1', 'b-3', 'a-3', 'b-2'], 'one transaction for the quota, before the body is read, and one for the note')
    t.match(service.linesOf('a-1', { tenant: 'acme', user: 'ada' }).map(({ msg }) => msg), ['committed', 'committed', 'note written', 'request completed'])
    service.linesOf('b-1', { tenant: 'globex', user: 'lin' })
  })

  t.test('sixty concurrent requests of many tenants: each sees its own rows', async (t) => {
    const tenants = Array.from({ length: 60 }, (_, i) => ({ sub: 'kim', tenant: `crowd-${i % 7}` }))
    await Promise.all(tenants.map(async (kim, i) => service.post('/notes', kim, `crowd-${i}`, { text: kim.tenant })))
    const seen = await Promise.all(tenants.map(async (kim) => ({ tenant: kim.tenant, texts: await service.texts(kim) })))
    for (const { tenant, texts } of seen) t.same([texts.length > 7, new Set(texts)], [true, new Set([tenant])])
  })

  t.test('a tenant named like SQL, like a pattern, or almost like another one is just a name', async (t) => {
    for (const [i, tenant] of STRANGE.entries()) {
      const eve = { sub: 'eve', tenant }
      t.match(await service.post('/notes', eve, `strange-${i}`, { text: `of ${i}` }), { status: 201, body: { tenant } }, tenant)
      t.same(await service.texts(eve), [`of ${i}`], tenant)
    }
    t.equal((await service.get('/notes', { sub: 'eve', tenant: 'a\0b' })).status, 500, 'text in PostgreSQL cannot contain a zero byte')
    t.same(await service.texts(ada), ['of acme, begun first'])
  })

  t.test('a handler that forgets the transaction sees no rows, even if its connection just had a tenant', async (t) => {
    t.equal((await service.texts(ada)).length, 1)
    t.same(await service.get('/forgotten', ada, 'forgotten'), { status: 200, body: [] })
  })

  t.test('without a tenant: no rows, and an error that says so', async (t) => {
    for (const [id, max] of Object.entries<Caller>({ none: { sub: 'max' }, empty: { sub: 'max', tenant: '' } })) {
      const refusals = [await service.get('/notes', max, id), await service.post('/notes', max, id, { text: 'of nobody' }), await service.post('/reports', max, id)]
      for (const refusal of refusals) t.match(refusal, { status: 403, body: { code: 'NO_TENANT', message: /names no tenant/ } })
      t.same(await service.get('/forgotten', max, id), { status: 200, body: [] })
      await service.line(`"reqId":"${id}"`, 'request completed')
      for (const line of service.linesOf(id)) t.notOk('tenant' in line)
    }
    const forged = await fetch(new URL('/notes', await service.url()), { headers: { authorization: 'Bearer no.such.token', 'x-request-id': 'forged' } })
    t.same([forged.status, (await forged.json() as { code: string }).code], [401, 'NO_USER'])
    t.equal((await fetch(new URL('/notes', await service.url()))).status, 401)
  })

  t.test('an error in a transaction rolls it back, and the next tenant starts clean', async (t) => {
    const [failed, other, forgotten] = await Promise.all([service.get('/boom', ada, 'boom'), service.texts(lin), service.get('/forgotten', ada)])
    t.match(failed, { status: 500, body: { code: 'INTERNAL', requestId: 'boom' } })
    t.same(other, ['of globex', 'of globex, begun last'])
    t.same(forgotten.body, [])
    t.same(await service.texts(ada), ['of acme, begun first'])
    await service.line('"reqId":"boom"', 'request completed')
    const lines = service.linesOf('boom', { tenant: 'acme', user: 'ada' })
    t.same(lines.map(({ msg }) => msg), ['note written', 'rolled back', 'the other half is broken', 'request completed'])
  })

  t.test('a report created in another process has the same request id and tenant, and only the rows of that tenant', async (t) => {
    const { pid } = JSON.parse(await service.line('Server listening')) as { pid: number }
    const orders = await Promise.all([ada, lin].map(async (caller) => service.post('/reports', caller, `report-${caller.sub}`)))
    const counts = [{ notes: 1, words: 4 }, { notes: 2, words: 6 }]
    for (const [i, caller] of [ada, lin].entries()) {
      const { status, body: { id } } = orders[i]!
      t.equal(status, 202)
      await service.line(`"reqId":"report-${caller.sub}"`, 'request completed')
      await service.line('"name":"worker"', `"reqId":"report-${caller.sub}"`, 'report made')
      t.match(await service.get(`/reports/${id}`, caller), { status: 200, body: { state: 'done', ...counts[i] } })
      const lines = service.linesOf(`report-${caller.sub}`, { tenant: caller.tenant, user: caller.sub })
      t.same(lines.filter((line) => line.pid === pid).map(({ msg }) => msg), ['committed', 'request completed'])
      t.match(lines.filter((line) => line.pid !== pid), [{ name: 'database', msg: 'committed' }, { name: 'worker', msg: 'report made', report: id }])
      t.match(await service.get(`/reports/${id}`, [lin, ada][i]!), { status: 404, body: { code: 'NO_SUCH_REPORT' } })
    }
  })
}

/** The process id of the worker that has created a report. */
export async function workerOf (service: Service): Promise<number> {
  const { pid } = JSON.parse(await service.line('"name":"worker"', 'report made')) as { pid: number }
  return pid
}
