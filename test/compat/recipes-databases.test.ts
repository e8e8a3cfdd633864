// kysely with pg on a real PostgreSQL: the tenant of each transaction and of each logged query.
import { Kysely, PostgresDialect, sql, type Generated, type Transaction } from 'kysely'
import pg from 'pg'
import t from 'tap'
import type { Tap } from '../support/support.ts'
import { makeOwner, startPostgres } from '../integration/postgres-server.ts'
import { ctx } from './recipes/context.ts'
import { OWN, TENANTS, Watch } from './recipes/watch.ts'

interface Database { notes: { id: Generated<number>, tenant: Generated<string>, text: string } }

const { host, port } = await startPostgres(t)
const connectionString = await makeOwner(`postgres://postgres@${host}:${port}/postgres`, 'notes_owner')
const client = new pg.Client({ connectionString })
await client.connect()
await client.query(`
  create table notes (id serial primary key, tenant text not null default current_setting('app.tenant', true) check (tenant <> ''), text text not null);
  alter table notes enable row level security;
  alter table notes force row level security;
  create policy own_rows on notes using (tenant = current_setting('app.tenant', true));`)
await client.end()

async function serve (t: Tap, connections: number) {
  const watch = new Watch(t)
  const { app } = watch
  await app.register(ctx.plugin)
  const pool = new pg.Pool({ connectionString, max: connections })

  const db = new Kysely<Database>({
    dialect: new PostgresDialect({ pool }),
    log: (event) => {
      const [whose] = event.query.parameters
      if (whose !== undefined) watch.see("kysely's log", String(whose).split(' ').at(-1))
      ctx.log.info({ sql: event.query.sql, ms: event.queryDurationMillis }, event.level)
    }
  })
  const transaction = <R>(fn: (trx: Transaction<Database>) => Promise<R>) => db.transaction().execute(async (trx) => {
    await sql`select set_config('app.tenant', ${ctx.require('tenant')}, true)`.execute(trx)
    return await fn(trx)
  })

  app.addHook('onClose', async () => { await db.destroy() })
  return { watch, app, db, transaction }
}

t.test('two concurrent transactions: each sees the rows of its tenant, and its queries are logged with that tenant', async (t) => {
  const { watch, app, transaction } = await serve(t, 2)
  app.post('/', async ({ headers }) => await transaction(async (trx) => {
    await watch.meet('transaction')
    await trx.insertInto('notes').values({ text: `by ${String(headers['x-tenant'])}` }).execute()
    await watch.meet('inserted')
    watch.see('in the transaction', headers['x-tenant'])
    return (await trx.selectFrom('notes').select(['tenant', 'text']).execute()).map(({ tenant, text }) => `${tenant}: ${text}`)
  }))
  await watch.listen()
  const answers = await watch.askBoth('/', () => ({ method: 'POST' }))
  t.same(answers.map((text) => JSON.parse(text)), TENANTS.map((tenant) => [`${tenant}: by ${tenant}`]))
  t.same(watch.told(), { "kysely's log": 'held', 'in the transaction': 'held' })
  const lines = watch.lines.all('query')
  for (const tenant of TENANTS) t.equal(lines.filter((line) => line.tenant === tenant && /set_config|insert|select/.test(line.sql)).length, 3)
  t.equal(lines.some(({ tenant }) => tenant === undefined), false)
  t.same(await watch.completed(), OWN)
})

t.test('one connection for both in turn: no tenant sees the other\'s rows, without a transaction there are none, and an error is logged with its tenant', async (t) => {
  const { watch, app, db, transaction } = await serve(t, 1)
  const select = (trx: Kysely<Database>) => trx.selectFrom('notes').select('tenant').execute()
  app.get('/', async () => (await transaction(select)).map(({ tenant }) => tenant))
  app.get('/forgotten', async () => await select(db))
  app.get('/fails', async () => await transaction(async (trx) => await sql`select 1 / 0`.execute(trx)))
  await watch.listen()
  for (const tenant of ['acme', 'globex', 'acme']) t.same(JSON.parse(await watch.ask(tenant, '/')), [tenant])
  t.same((await watch.askBoth('/')).map((text) => JSON.parse(text)), TENANTS.map((tenant) => [tenant]))
  t.same(await watch.askBoth('/forgotten'), ['[]', '[]'])
  await watch.askBoth('/fails')
  t.same(watch.lines.all('error').map(({ tenant, sql }) => `${tenant}: ${sql}`).sort(), TENANTS.map((tenant) => `${tenant}: select 1 / 0`))
  t.match(JSON.parse(await (await fetch(watch.url)).text()), { code: 'FST_CTX_NOT_SET' }, 'and without a tenant no query')
})

t.test('onCreateConnection runs for the request that needed the connection, which another tenant uses next', async (t) => {
  const created: unknown[] = []
  const dialect = new PostgresDialect({ pool: new pg.Pool({ connectionString, max: 1 }), onCreateConnection: async () => { created.push(ctx.get('tenant')) } })
  const db = new Kysely<Database>({ dialect })
  t.teardown(() => db.destroy())
  const watch = new Watch(t)
  await watch.app.register(ctx.plugin)
  const pid = async () => (await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(db)).rows[0]!.pid
  watch.app.get('/', async () => await pid())
  await watch.listen()
  const [first, second] = [await watch.ask('acme', '/'), await watch.ask('globex', '/')]
  t.equal(first, second, 'the same connection')
  t.same(created, ['acme'])
})
