import Fastify from 'fastify'
import t from 'tap'
import { createContext, key } from '../../../lib/index.ts'
import type { Report } from '../../../lib/inspect.ts'
import inspect from '../../../lib/inspect.ts'
import { listen, type Tap } from '../../support/support.ts'

const keys = { tenant: key<string>({ log: true }) }

async function reportWith (t: Tap, register: (app: ReturnType<typeof Fastify>) => Promise<void>): Promise<Report> {
  const app = Fastify()
  await register(app)
  await app.register(inspect, { unsafe: true })
  const { url } = await listen(t, app)
  return await (await fetch(`${url}/_ctx/data`)).json() as Report
}

const stateOf = ({ patches }: Report, property: RegExp): unknown => patches.find((patch) => property.test(patch.property))?.state

t.test('the report has the process, the policy of each context, and the replaced methods', async (t) => {
  const report = await reportWith(t, async (app) => {
    await app.register(createContext(keys).plugin)
    await app.register(createContext({ region: key<string>() }).plugin)
  })
  t.match(report.process, { pid: process.pid, node: process.version, uptime: Number })
  t.same(report.contexts.map(({ policy }) => policy.map(({ key, logged }) => [key, logged])), [[['tenant', 'value']], [['region', 'no']]])
  t.same(report.contexts.map(({ inFlight }) => inFlight.scopes.map(({ current }) => current)), [[true], [true]], 'each context has a scope for the request that reads the report')
  t.equal(stateOf(report, /^send$/), 'replaced')
  t.equal(stateOf(report, /asJson/), 'replaced')
  t.equal(stateOf(report, /globalDispatcher/), 'off', 'no context propagates')
  t.ok(report.patches.every(({ without }) => without.length > 0))
})

t.test('with reenter: false only the log wiring is replaced; with propagate also the dispatcher of fetch', async (t) => {
  const report = await reportWith(t, async (app) => { await app.register(createContext(keys, { propagate: { 'https://a.example': ['requestId'] } }).plugin, { reenter: false }) })
  t.same(report.patches.filter(({ state }) => state === 'replaced').map(({ property }) => property).sort(), ['Symbol(pino.asJson), Symbol(pino.mixin)', "Symbol.for('undici.globalDispatcher.1')", 'incomingRequest, serviceUnavailable'])
})

t.test('a method that cannot be replaced is reported as such', async (t) => {
  const report = await reportWith(t, async (app) => {
    app.inject = undefined as never
    await app.register(createContext(keys).plugin)
  })
  t.equal(stateOf(report, /^inject$/), 'not available')
})
