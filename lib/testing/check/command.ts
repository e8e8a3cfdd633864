import { AssertionError } from 'node:assert'
import { inspect, parseArgs } from 'node:util'
import { FST_CTX_INVALID_ARGUMENT } from '../../common/errors.ts'
import { readIsolationOptions, readMakers, runIsolation, statusesOf, type IsolationOptions } from '../isolation.ts'
import type { MakeRequest, SentRequest } from '../sent-request.ts'
import { importFile, loadApplication, type Loaded } from './application.ts'
import { CANARY } from './example.ts'
import { requestsOf, type CheckedRoute } from './routes.ts'

const USAGE = `Usage: fastify-ctx check <app> [options]

Sends requests to each route of an application, many at once, and reports where one sees a value of another.
<app> is a module that exports, as default or as app, a Fastify instance, a function that returns one, or a plugin.

  --header <text>      Goes with each request: --header 'x-tenant-id: ${CANARY}'. May be repeated
  --requests <file>    Sends these requests instead of those made of the schemas: a JSON list of
                       { method, url, headers, body } with ${CANARY} in it, or a module with a list of functions
  --seed <number>      Repeats a run
  --rounds <number>    How often each request meets itself and the others (4)
  --concurrency <number>  How many requests are on their way at once (8)
  --timeout <ms>       Within which each request must be answered (10000)
  --help

Exits with 0 if nothing crossed, 1 if something did or a request was not answered, 2 if nothing could be checked.`

const OPTIONS = {
  header: { type: 'string', multiple: true },
  requests: { type: 'string' },
  seed: { type: 'string' },
  rounds: { type: 'string' },
  concurrency: { type: 'string' },
  timeout: { type: 'string' },
  help: { type: 'boolean' }
} as const

/** A request to send, and its name in the report. */
interface Named {
  readonly name: string
  readonly make: MakeRequest
}

/**
 * The command `fastify-ctx`.
 *
 * @param print called with the report, some lines at a time
 * @returns the exit code
 */
export async function main (args: readonly string[], print: (text: string) => void): Promise<0 | 1 | 2> {
  try {
    const { values, positionals: [command, file, ...others] } = parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true })
    if (values.help === true) {
      print(USAGE)
      return 0
    }
    if (command !== 'check' || file === undefined || others.length > 0) throw new FST_CTX_INVALID_ARGUMENT('fastify-ctx', 'check and the file of an application')
    const settings = readIsolationOptions(numbersOf(values))
    const headers = Object.fromEntries((values.header ?? []).map(headerOf))
    const loaded = await loadApplication(file)
    try {
      const { checked, skipped } = await requestsFor(loaded, headers, values.requests)
      if (checked.length === 0) throw new FST_CTX_INVALID_ARGUMENT('fastify-ctx check', `a request that contains a canary, but none of ${skipped.length} routes has one${listed(skipped)}`)
      const again = `npx fastify-ctx ${args.filter((_, i) => !isSeed(args, i)).map(quoted).join(' ')} --seed ${settings.seed}`
      const { requests, unseen } = await runIsolation(loaded.app, checked.map(({ make }) => make), settings, () => ({ caller: main, again }))
      print(report(checked, requests, unseen, skipped, again))
      return unseen.length < checked.length ? 0 : 2
    } finally {
      await loaded.app.close()
    }
  } catch (error) {
    if (error instanceof AssertionError) {
      print(error.message)
      return 1
    }
    print(isUsage(error) ? `${(error as Error).message}\n\n${USAGE}` : inspect(error))
    return 2
  }
}

function numbersOf (values: Readonly<Record<string, unknown>>): IsolationOptions {
  const given = (['seed', 'rounds', 'concurrency', 'timeout'] as const).filter((name) => values[name] !== undefined)
  return Object.fromEntries(given.map((name) => [name, Number(values[name])]))
}

function headerOf (text: string): [name: string, value: string] {
  const [, name, value] = /^([^:\s]+):\s*(.*)$/.exec(text) ?? []
  if (name === undefined) throw new FST_CTX_INVALID_ARGUMENT('fastify-ctx check --header', "a name and a value: 'x-tenant-id: {canary}'")
  return [name.toLowerCase(), value!]
}

function isSeed (args: readonly string[], i: number): boolean {
  return args[i] === '--seed' || args[i]!.startsWith('--seed=') || args[i - 1] === '--seed'
}

function quoted (arg: string): string {
  return /^[\w./:=@-]+$/.test(arg) ? arg : `'${arg}'`
}

/** The requests of a file, or those generated from the schemas of all routes. */
async function requestsFor ({ app, routes }: Loaded, headers: Record<string, string>, file: string | undefined): Promise<{ checked: Named[], skipped: CheckedRoute[] }> {
  if (file !== undefined) {
    const given = [(await importFile(file)).default].flat()
    const makes = readMakers(given.map((request) => typeof request === 'function' ? request : withHeaders(request as object, headers)) as MakeRequest[])
    return { checked: makes.map((make, i) => ({ make, name: nameOf(given[i], i) })), skipped: [] }
  }
  const found = requestsOf(routes, headers, app.getSchemas())
  return {
    checked: found.filter(({ request }) => request !== undefined).map(({ name, request }) => ({ name, make: filled(request!) })),
    skipped: found.filter(({ request }) => request === undefined)
  }
}

function withHeaders (request: object, headers: Record<string, string>): MakeRequest {
  return filled({ ...request, headers: { ...(request as { headers?: object }).headers, ...headers } })
}

function nameOf (request: unknown, i: number): string {
  const { method = 'GET', url = `request ${i + 1}` } = request as { readonly method?: string, readonly url?: string }
  return typeof request === 'function' ? `request ${i + 1}` : `${method} ${url}`
}

/** Replaces each `{canary}` by the canary. A UUID needs no escape in JSON. */
function filled (template: object): MakeRequest {
  const text = JSON.stringify(template)
  return (canary) => JSON.parse(text.replaceAll(CANARY, canary)) as ReturnType<MakeRequest>
}

function report (checked: readonly Named[], requests: readonly SentRequest[], unseen: readonly SentRequest[], skipped: readonly CheckedRoute[], again: string): string {
  const blind = new Set(unseen.map(({ index }) => index))
  const seen = checked.flatMap(({ name }, index) => blind.has(index) ? [] : [`  ${name}: ${statusesText(requests.filter((sent) => sent.index === index))}`])
  const others = [
    ...skipped,
    ...[...blind].map((index) => ({ name: checked[index]!.name, reason: `its canary was in no response, on no log line and in no value of a context (${statusesText(requests.filter((sent) => sent.index === index))})` }))
  ]
  return [
    seen.length === 0 ? 'Nothing was checked.' : `No value crossed between ${requests.length} requests.\n\nchecked\n${seen.join('\n')}`,
    ...(others.length === 0 ? [] : [`not checked${listed(others)}`]),
    `The same requests in the same order: ${again}`
  ].join('\n\n')
}

function statusesText (requests: readonly SentRequest[]): string {
  const statuses = Object.entries(statusesOf(requests))
  const text = statuses.map(([status, times]) => `${status} × ${times}`).join(', ')
  return statuses.every(([status]) => Number(status) >= 400) ? `${text}, only refused: hardly checked` : text
}

function listed (routes: ReadonlyArray<Pick<CheckedRoute, 'name' | 'reason'>>): string {
  return routes.map(({ name, reason }) => `\n  ${name}: ${reason}`).join('')
}

function isUsage (error: unknown): boolean {
  const { code = '' } = error as { readonly code?: string }
  return code === 'FST_CTX_INVALID_ARGUMENT' || code.startsWith('ERR_PARSE_ARGS')
}
