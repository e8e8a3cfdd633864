import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import pg from 'pg'
import t from 'tap'
import { keepsPromises } from './notes-promises.ts'
import { ROOT, Service } from './notes-service.ts'
import { makeOwner, startPostgres } from './postgres-server.ts'

const { host, port } = await startPostgres(t)
const superuser = `postgres://postgres@${host}:${port}/postgres`
const owner = await makeOwner(superuser, 'owner')
const service = new Service(t, { DATABASE_URL: owner })

t.test('the notes example works with a PostgreSQL server as the owner of its tables', async (t) => {
  await service.url()
  await keepsPromises(t, service)
})

t.test('the service uses one connection for any number of tenants, and the worker one of its own', async (t) => {
  const { rows } = await ask(superuser, "select usename, client_port from pg_stat_activity where datname = 'owner'")
  t.same(rows.map(({ usename }) => usename as string), ['owner', 'owner'])
})

t.test('even the owner sees nothing without a tenant, because row-level security is forced', async (t) => {
  t.same((await ask(owner, 'select * from notes')).rows, [])
  t.equal((await ask(Object.assign(new URL(superuser), { pathname: 'owner' }).href, 'select * from notes')).rows.length > 0, true, 'a superuser does')
})

t.test('after a second start with a superuser\'s URL the tables and rows are still there, and no tenant sees another one\'s', async (t) => {
  const second = new Service(t, { DATABASE_URL: Object.assign(new URL(superuser), { pathname: 'owner' }).href })
  t.same(await second.texts({ sub: 'ada', tenant: 'acme' }), ['of acme, begun first'])
  t.same((await second.get('/forgotten', { sub: 'ada', tenant: 'acme' })).body, [])
  second.stop('SIGINT')
  t.equal(await second.exit, 0)
})

t.test('a connection that is lost fails its request, and the next request gets a new one', async (t) => {
  const ada = { sub: 'ada', tenant: 'acme' }
  await ask(superuser, "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'owner'")
  await service.line('"name":"database"', 'the connection is lost')
  t.same(await service.texts(ada), ['of acme, begun first'])
  t.same((await service.get('/forgotten', ada)).body, [])
})

t.test('a connection that is lost between the queries of a transaction fails that transaction, and the process continues', async (t) => {
  const program = `
    import { setTimeout as sleep } from 'node:timers/promises'
    import pg from 'pg'
    import { ctx } from './examples/notes/context.ts'
    import * as database from './examples/notes/database.ts'
    database.open(process.env.DATABASE_URL)
    const other = new pg.Client(process.env.SUPERUSER)
    await other.connect()
    const count = () => ctx.run({ tenant: 'globex' }, () => database.transaction(async () => (await database.query('select * from notes')).length))
    const lost = await ctx.run({ tenant: 'acme' }, () => database.transaction(async () => {
      const [{ pid }] = await database.query('select pg_backend_pid() as pid')
      await other.query('select pg_terminate_backend($1)', [pid])
      await sleep(200)
      return database.query('select 1')
    })).catch((error) => error instanceof Error)
    console.error(JSON.stringify({ lost, next: await count() }))
    await other.end()
    await database.close()`
  const env = { PATH: process.env.PATH, DATABASE_URL: owner, SUPERUSER: superuser, _TAPJS_PROCESSINFO_COVERAGE_: '0' }
  const { stderr } = await promisify(execFile)(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program], { cwd: ROOT, env })
  t.same(JSON.parse(stderr), { lost: true, next: 2 })
})

t.test('a query that nobody awaited and that arrives after its transaction does not run in the next tenant\'s transaction', async (t) => {
  const program = `
    import { ctx } from './examples/notes/context.ts'
    import * as database from './examples/notes/database.ts'
    database.open(process.env.DATABASE_URL)
    import { gate } from './test/support/support.ts'
    let late
    const begun = gate()
    await ctx.run({ tenant: 'acme' }, () => database.transaction(async () => { late = begun.promise.then(() => database.query('select * from notes')) }))
    const own = await ctx.run({ tenant: 'globex' }, () => database.transaction(async () => {
      begun.open()
      await database.query('select 1')
      return database.query('select * from notes')
    }))
    console.error(JSON.stringify({ late: await late, own: own.length }))
    await database.close()`
  const env = { PATH: process.env.PATH, DATABASE_URL: owner, _TAPJS_PROCESSINFO_COVERAGE_: '0' }
  const { stderr } = await promisify(execFile)(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program], { cwd: ROOT, env })
  t.same(JSON.parse(stderr), { late: [], own: 2 })
})

t.test('work started by ctx.after and ctx.detach in a transaction does not read the rows of the next tenant on the connection', async (t) => {
  const program = `
    import { ctx } from './examples/notes/context.ts'
    import * as database from './examples/notes/database.ts'
    database.open(process.env.DATABASE_URL)
    import { gate } from './test/support/support.ts'
    const rows = () => database.query('select * from notes')
    const [begun, after, detached, own] = [gate(), gate(), gate(), gate()]
    await ctx.run({ tenant: 'acme' }, () => database.transaction(async () => {
      ctx.detach(async () => { await begun.promise; detached.open(await rows()) })
      ctx.after(async () => { await begun.promise; after.open(await rows()); own.open(await database.transaction(rows)) })
    }))
    const next = await ctx.run({ tenant: 'globex' }, () => database.transaction(async () => {
      begun.open()
      await database.query('select pg_sleep(0.05)')
      return rows()
    }))
    console.error(JSON.stringify({ after: await after.promise, detached: await detached.promise, own: (await own.promise).map(({ tenant }) => tenant), next: next.map(({ tenant }) => tenant) }))
    await database.close()`
  const env = { PATH: process.env.PATH, DATABASE_URL: owner, _TAPJS_PROCESSINFO_COVERAGE_: '0' }
  const { stderr } = await promisify(execFile)(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program], { cwd: ROOT, env })
  // The driver warns of a query that starts while another one runs, which only the bug would cause.
  const { next, ...results } = JSON.parse(stderr.trim().split('\n').at(-1)!) as { readonly next: string[] }
  t.same(results, { after: [], detached: [], own: ['acme'] })
  t.same(new Set(next), new Set(['globex']))
})

t.test('a port in use, or an invalid one, is named, and the exit code is 1', async (t) => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.teardown(() => { other.close() })
  const { port } = other.address() as AddressInfo
  const [late, confused] = [String(port), 'http'].map((PORT) => new Service(t, { DATABASE_URL: owner, PORT })) as [Service, Service]
  await late.line(`did not start: port ${port} is taken`)
  await confused.line("did not start: PORT is 'http'")
  t.same(await Promise.all([late.exit, confused.exit]), [1, 1])
})

t.test('after SIGKILL of the service its worker ends too', async (t) => {
  service.stop('SIGKILL')
  t.equal(await service.exit, null, 'which is only known when the worker has also closed their stdout')
})

async function ask (connectionString: string, sql: string): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString })
  await client.connect()
  try {
    return await client.query(sql)
  } finally {
    await client.end()
  }
}
