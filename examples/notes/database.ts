import { readFile } from 'node:fs/promises'
import pg, { type PoolClient, type QueryResultRow } from 'pg'
import { ctx } from './context.ts'
import { NO_TENANT } from './errors.ts'
import { logger } from './logging.ts'

const log = logger('database')

let pool: pg.Pool

/** Opens the database: one connection, which the requests of all tenants share. */
export function open (connectionString: string): void {
  pool = new pg.Pool({ connectionString, max: 1 })
  pool.on('connect', (client) => {
    // First of all on each connection. A superuser would see the rows of everybody.
    client.query('set role notes_app').catch((error) => { log.error(error) })
    // Lost in a transaction, between two queries: the next one fails. An event that nobody hears would end the process.
    client.on('error', () => {})
  })
  pool.on('error', (error) => { log.error(error, 'the connection is lost; the next query opens another') })
}

/** Waits for the queries under way. */
export async function close (): Promise<void> {
  await pool.end()
}

/** Makes the tables, unless they are there. */
export async function migrate (connectionString: string): Promise<void> {
  const client = new pg.Client({ connectionString })
  await client.connect()
  await client.query(await readFile(new URL('schema.sql', import.meta.url), 'utf8'))
  await client.end()
}

/**
 * Runs `fn` in a transaction that sees the rows of the current tenant, or in the one around it. Neither tenant nor
 * connection is passed on: `query` finds them.
 */
export async function transaction<R> (fn: () => Promise<R>): Promise<R> {
  if (ctx.has('connection')) return fn()
  if (!ctx.has('tenant')) throw new NO_TENANT()
  const connection = await pool.connect()
  return ctx.run({ connection }, async () => {
    try {
      await connection.query('begin')
      // `true`: until the end of the transaction, and not for whoever has the connection next.
      await connection.query("select set_config('app.tenant', $1, true)", [ctx.require('tenant')])
      const result = await fn()
      await connection.query('commit')
      log.info('committed')
      release(connection)
      return result
    } catch (error) {
      await connection.query('rollback').then(() => { release(connection) }, (broken: Error) => { release(connection, broken) })
      log.info('rolled back')
      throw error
    }
  })
}

/** The rows that a statement returns, in the transaction around it. Without one there is no tenant, and hence no row. */
export async function query<Row extends QueryResultRow> (sql: string, values: unknown[] = []): Promise<Row[]> {
  const { rows } = await (ctx.get('connection') ?? pool).query<Row>(sql, values)
  return rows
}

/** A query that nobody awaited comes late, and must not run in the transaction of the next tenant. */
function release (connection: PoolClient, broken?: Error): void {
  ctx.set('connection', undefined)
  connection.release(broken)
}
