import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { keepsPromises, workerOf } from './notes-promises.ts'
import { Service } from './notes-service.ts'

const service = new Service(t)

t.test('the notes example works with its bundled PostgreSQL', async (t) => { await keepsPromises(t, service) })

t.test('the commands that the example prints work: one tenant writes a note, the other does not see it, a report is queued', async (t) => {
  await service.line('Ctrl-C')
  const notOfAcme = (await service.get('/notes', { sub: 'lin', tenant: 'globex' })).body as object
  const answers: object[] = []
  for (const line of service.output.filter((line) => line.startsWith('curl '))) {
    const headers = Array.from(line.matchAll(/-H '([^:]+): ([^']+)'/g), ([, name, value]) => [name!, value!] as [string, string])
    const body = / -d '([^']+)'/.exec(line)?.[1]
    const method = body !== undefined || line.includes('-X POST') ? 'POST' : 'GET'
    const response = await fetch(/http:\S+/.exec(line)![0], { method, headers: [...headers, ['connection', 'close']], body: body ?? null })
    answers.push({ status: response.status, body: await response.json() as unknown })
  }
  t.match(answers, [
    { status: 201, body: { tenant: 'acme', author: 'ada', text: 'buy milk' } },
    { status: 200, body: notOfAcme },
    { status: 202, body: { state: 'queued' } }
  ])
  await service.line('"reqId":"demo-1"', 'report made')
})

t.test('after a worker dies, the service continues, and the next job starts a new worker', async (t) => {
  const worker = await workerOf(service)
  process.kill(worker, 'SIGKILL')
  await service.line('the worker died')
  const { body } = await service.post('/reports', { sub: 'ada', tenant: 'acme' }, 'again')
  const made = JSON.parse(await service.line('"reqId":"again"', 'report made')) as { pid: number, report: string }
  t.equal(made.report, (body as { id: string }).id)
  t.not(made.pid, worker)
})

t.test('SIGTERM, even twice, finishes all work in progress and leaves no process and no port open', async (t) => {
  const { pid: worker } = JSON.parse(await service.line('"reqId":"again"', 'report made')) as { pid: number }
  const end = await service.hold({ sub: 'ada', tenant: 'acme' }, 'last', 'just in time')
  service.stop('SIGTERM')
  await service.line('stopping')
  service.stop('SIGTERM')
  t.match(await end(), { status: 201, body: { text: 'just in time' } })
  t.equal(await service.exit, 0)
  t.throws(() => process.kill(worker, 0), { code: 'ESRCH' })
  const { hostname, port } = new URL(await service.url())
  const [refused] = await once(connect(Number(port), hostname), 'error') as [NodeJS.ErrnoException]
  t.equal(refused.code, 'ECONNREFUSED')
  const unclaimed = service.output.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as { reqId?: string, msg: string }).filter(({ reqId }) => reqId === undefined)
  t.match(unclaimed.map(({ msg }) => msg), [/^Server listening/, /^the worker died/, 'stopping', 'stopping'], 'every other line belongs to a request')
})
