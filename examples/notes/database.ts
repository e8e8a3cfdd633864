import { readFile } from 'node:fs/promises'
import pg, { type PoolClient, type QueryResultRow } from 'pg'
import { ctx } from './context.ts'
import { NO_TENANT } from './errors.ts'
import { logger } from './logging.ts'

const log = logger('database')

let pool: pg.Pool

/** Opens the database with one connection, which the requests of all tenants share. */
export function open (connectionString: string): void {
  pool = new pg.Pool({ connectionString, max: 1 })
  pool.on('connect', (client) => {
    // Run first on each connection, because a superuser would see the rows of every tenant.
    client.query('set role notes_app').catch((error) => { log.error(error) })
    // If the connection is lost between two queries of a transaction, the next query fails. Without a listener the event would end the process.
    client.on('error', () => {})
  })
  pool.on('error', (error) => { log.error(error, 'the connection is lost; the next query opens another') })
}

/** Waits for the active queries. */
export async function close (): Promise<void> {
  await pool.end()
}

/** Creates the tables if they do not exist. */
export async function migrate (connectionString: string): Promise<void> {
  const client = new pg.Client({ connectionString })
  await client.connect()
  await client.query(await readFile(new URL('schema.sql', import.meta.url), 'utf8'))
  await client.end()
}

/**
 * Runs `fn` in a transaction that sees the rows of the current tenant, or in the enclosing transaction. Neither tenant nor
 * connection is passed on: `query` finds them.
 */
export async function transaction<R> (fn: () => Promise<R>): Promise<R> {
  if (ctx.has('connection')) return fn()
  if (!ctx.has('tenant')) throw new NO_TENANT()
  const connection = await pool.connect()
  return ctx.run({ connection }, async () => {
    try {
      await connection.query('begin')
      // `true`: only until the end of the transaction, not for the next user of the connection.
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

/** The rows that a statement returns in the current transaction. Without a transaction there is no tenant, so there are no rows. */
export async function query<Row extends QueryResultRow> (sql: string, values: unknown[] = []): Promise<Row[]> {
  const { rows } = await (ctx.get('connection') ?? pool).query<Row>(sql, values)
  return rows
}

/** A query that nobody awaited may come late. It must not run in the transaction of the next tenant. */
function release (connection: PoolClient, broken?: Error): void {
  ctx.set('connection', undefined)
  connection.release(broken)
}
