// Starts an application under an agent in a separate process.
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { createGunzip } from 'node:zlib'
import type { Seen } from './probe.ts'
import { LOADER, OUTSIDE } from '../../support/processes.ts'

const AGENT = fileURLToPath(new URL('agent.ts', import.meta.url))

/** Settings that keep agents from contacting other machines. */
const OFFLINE = {
  DD_INSTRUMENTATION_TELEMETRY_ENABLED: 'false',
  DD_REMOTE_CONFIGURATION_ENABLED: 'false',
  DD_TRACE_AGENT_URL: 'http://127.0.0.1:9',
  DD_RUNTIME_METRICS_ENABLED: 'false',
  NEW_RELIC_NO_CONFIG_FILE: 'true',
  NEW_RELIC_APP_NAME: 'test',
  NEW_RELIC_LICENSE_KEY: 'none',
  NEW_RELIC_LOG_ENABLED: 'false',
  NEW_RELIC_HOST: '127.0.0.1',
  NEW_RELIC_PORT: '9'
}

/** What the application saw under an agent, and how often the agent recorded each item. */
export async function under (agent: string, variant: 'bare' | 'plugin'): Promise<Seen & { readonly noticed: Readonly<Record<string, number>> }> {
  const { lines, received } = await output(AGENT, [agent, variant])
  const { seen, noticed } = lines.at(-1) as { seen: Seen, noticed: unknown[] }
  return { ...seen, noticed: counted([...noticed, ...lines.flatMap(spansOfDatadog), ...received.flatMap(eventsOfElastic)]) }
}

/** The lines of JSON that a program under an agent printed, and what the agent sent to its collector. */
export async function output (program: string, args: readonly string[]): Promise<{ readonly lines: Array<Record<string, any>>, readonly received: Array<Record<string, any>> }> {
  const received: Array<Record<string, any>> = []
  const collector = await collect(received)
  try {
    const env = { ...OUTSIDE, ...OFFLINE, COLLECTOR: `http://127.0.0.1:${(collector.address() as AddressInfo).port}` }
    const { stdout } = await promisify(execFile)(process.execPath, ['--no-warnings', ...LOADER, program, ...args], { env, timeout: 120_000, maxBuffer: 2 ** 26 })
    return { lines: stdout.split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Record<string, any>), received }
  } finally {
    collector.close()
  }
}

/** A server for an Elastic agent, which sends lines of JSON. */
async function collect (received: object[]): Promise<http.Server> {
  const server = http.createServer((request, response) => {
    const body = request.headers['content-encoding'] === 'gzip' ? request.pipe(createGunzip()) : request
    text(body).then((lines) => {
      for (const line of lines.split('\n').filter((line) => line !== '')) received.push(JSON.parse(line) as object)
      response.writeHead(202).end()
    }, () => { response.writeHead(400).end() })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return server
}

function eventsOfElastic ({ transaction, error }: Record<string, any>): unknown[] {
  if (transaction !== undefined) return [{ transaction: transaction.name, result: transaction.result, outcome: transaction.outcome }]
  return error === undefined ? [] : [{ error: error.exception.message, handled: error.exception.handled, of: error.transaction?.name }]
}

/** What these tests read of a span that Datadog's agent printed. */
interface DatadogSpan { readonly name: string, readonly resource: string, readonly error: number, readonly meta: Readonly<Record<string, string>> }

/** The spans on a line of Datadog's agent. Other lines have none. */
export function datadogSpans ({ traces }: { readonly traces?: readonly DatadogSpan[][] }): DatadogSpan[] {
  return traces?.flat() ?? []
}

function spansOfDatadog (line: Record<string, any>): unknown[] {
  return datadogSpans(line).map(({ name, resource, error, meta }) => ({ name, resource, error, route: meta['http.route'], status: meta['http.status_code'], failure: meta['error.message'] }))
}

function counted (values: readonly unknown[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const value of values.map((value) => JSON.stringify(value)).sort()) counts[value] = (counts[value] ?? 0) + 1
  // The plugin's own hook adds one.
  return Object.fromEntries(Object.entries(counts).filter(([text]) => !text.includes('fastifyCtx')))
}
