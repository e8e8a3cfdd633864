// Datadog, New Relic and Elastic APM: each recorded request is labelled with its own tenant.
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { datadogSpans, output } from './tracers/spawn.ts'
import { TENANTS } from './recipes/watch.ts'

const PROGRAM = fileURLToPath(new URL('recipes/apm.ts', import.meta.url))

type Output = Awaited<ReturnType<typeof output>>

/** The path and the tenant of each request that an agent recorded. */
const RECORDED: Readonly<Record<string, (output: Output) => unknown[][]>> = {
  'dd-trace': ({ lines }) => lines.flatMap(datadogSpans).filter(({ name }) => name === 'fastify.request').map(({ meta }) => [new URL(meta['http.url']!).pathname, meta.tenant]),
  newrelic: ({ lines }) => lines.filter(({ url }) => url !== undefined).map(({ url, tenant }) => [url, tenant]),
  'elastic-apm-node': ({ received }) => received.filter(({ transaction }) => transaction !== undefined).map(({ transaction: { context } }) => [new URL(context.request.url.full).pathname, context.tags.tenant])
}

for (const [agent, recorded] of Object.entries(RECORDED)) {
  t.test(`${agent}: two concurrent requests, each labelled with its own tenant`, async (t) => {
    const seen = await output(PROGRAM, [agent])
    t.same(recorded(seen).sort(), TENANTS.map((tenant) => [`/${tenant}`, tenant]))
    const handled = seen.lines.filter(({ msg }) => msg === 'handled')
    t.same(handled.map(({ tenant }) => tenant).sort(), TENANTS, 'log lines have their fields next to the agent\'s')
    if (agent === 'dd-trace') t.equal(new Set(handled.map(({ dd }) => dd.trace_id)).size, 2, 'and the trace that Datadog adds')
  })
}
