// Runs each example of a single file as its reader would, and compares its output with what it promises.
import { execFile } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

if (!existsSync(`${ROOT}dist/index.js`)) throw new Error('dist/index.js is missing, which the examples import: run `npm run build` first')

/** The expected output: the lines in order. Log lines, given as objects, have an order of their own. */
const PRINTED: Readonly<Record<string, ReadonlyArray<string | RegExp | object>>> = {
  'background.ts': [
    'order of nobody unlocked',
    'connection of nobody released',
    'statistics of ada written',
    'mail sent to ada',
    'closed',
    { level: 50, reqId: 'demo-1', user: 'ada', err: { message: 'the mail server hung up' }, msg: 'detached work failed' }
  ],
  'cancel.ts': [
    'report stopped: TimeoutError, the deadline of this scope has passed',
    'no report',
    'report stopped: AbortError, the client is gone'
  ],
  'impersonate.ts': [
    'invoices of ada of globex, shown to support of acme; then support of acme again',
    { reqId: 'demo-1', tenant: 'globex', user: 'ada', actor: { tenant: 'acme', user: 'support' }, reason: 'ticket 4711', msg: 'invoices read' },
    'invoices of lin of globex',
    { reqId: 'demo-1', tenant: 'acme', user: 'support', actor: undefined, reason: undefined, msg: 'afterwards' },
    { reqId: 'demo-2', tenant: 'globex', user: 'lin', actor: { tenant: 'acme' }, reason: 'ticket 4712', msg: 'invoices read' },
    { reqId: 'demo-2', tenant: 'globex', user: 'lin', actor: { tenant: 'acme' }, reason: 'ticket 4712', msg: 'request completed' }
  ],
  'jobs.ts': [
    "[ 'acme billed', 'globex billed' ]",
    "'tenant' has no value: no scope of this context is open here",
    "'tenant' was given in this scope by ctx.run",
    'requestId=nightly-acme tenant=acme',
    { reqId: 'nightly-acme', tenant: 'acme', step: 'billing', msg: 'billed' },
    { reqId: 'nightly-globex', tenant: 'globex', step: 'billing', msg: 'billed' },
    { reqId: 'nightly-acme', tenant: 'acme', step: 'billing', msg: 'connection released' },
    { reqId: 'nightly-globex', tenant: 'globex', step: 'billing', msg: 'connection released' },
    { reqId: 'nightly-acme', tenant: 'acme', step: undefined, left: true, msg: 'done' },
    { reqId: 'nightly-globex', tenant: 'globex', step: undefined, left: true, msg: 'done' }
  ],
  'memo.ts': ['ada', 'lin'].flatMap((user) => [
    `${user} asks`,
    `  loads the mail settings of ${user}`,
    `  loads the notes 1, 2 of ${user}`,
    '  loads the mail settings of guest',
    `mail of ${user}, mail of guest`
  ]),
  'outgoing.ts': [
    'orders received tenant Caf%C3%A9 Z%C3%BCrich, id demo-1',
    'advertisers received tenant none, id none',
    'orders received tenant Caf%C3%A9 Z%C3%BCrich, id demo-1',
    'advertisers received tenant none, id none',
    'orders received tenant Caf%C3%A9 Z%C3%BCrich, id demo-1',
    'orders received tenant Caf%C3%A9 Z%C3%BCrich, id demo-1'
  ],
  'required-keys.ts': [
    /^400 .*"code":"FST_CTX_MISSING".*'tenant' is required/,
    /^401 .*"code":"FST_CTX_MISSING".*'user' is required/,
    '200 invoices of ada of acme',
    /'tenant'.*true.*400/,
    /'user'.*false.*401/
  ],
  'tracing.ts': [
    /^query: acme, ada, below handler/,
    'request: acme, ada, below the caller',
    'report: acme, no user, below query',
    { reqId: 'demo-1', trace_id: '4bf92f3577b34da6a3ce929d0e0e4736', tenant: 'acme', user: 'ada', msg: 'rows read' },
    { reqId: 'demo-1', trace_id: '4bf92f3577b34da6a3ce929d0e0e4736', tenant: 'acme', user: undefined, msg: 'report written' }
  ],
  'websocket.ts': [
    'hello, with rights in acme',
    'hello again, with rights in acme',
    { reqId: 'demo-1', messageId: 'm-1', tenant: 'acme', msg: 'rights loaded' },
    { reqId: 'demo-1', messageId: 'm-1', tenant: 'acme', msg: 'message handled' },
    { reqId: undefined, tenant: undefined, msg: 'still here' }
  ]
}

t.test('each example has an expectation', async (t) => {
  t.same(readdirSync(`${ROOT}examples`).filter((name) => name.endsWith('.ts')).sort(), Object.keys(PRINTED).sort())
})

for (const [name, expected] of Object.entries(PRINTED)) {
  t.test(`examples/${name}`, async (t) => {
    // Without tap's coverage, which would count dist next to lib.
    const env = { PATH: process.env.PATH, _TAPJS_PROCESSINFO_COVERAGE_: '0' }
    const { stdout, stderr } = await promisify(execFile)(process.execPath, ['--import', 'tsx', `examples/${name}`], { cwd: ROOT, env, timeout: 60_000 })
    t.equal(stderr, '')
    const lines = stdout.split('\n')
    const logged = lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as object)
    const printed = lines.filter((line) => !line.startsWith('{'))
    for (const what of expected) {
      const isLog = typeof what === 'object' && !(what instanceof RegExp)
      const at = isLog ? logged.findIndex((line) => matches(line, what)) : printed.findIndex((line) => what instanceof RegExp ? what.test(line) : line === what)
      t.not(at, -1, `${isLog ? JSON.stringify(what) : String(what)} is printed, in its order`)
      if (isLog) logged.splice(0, at + 1)
      else printed.splice(0, at + 1)
    }
  })
}

/** Whether a log line has the expected fields, and none that is expected to be undefined. */
function matches (line: object, expected: object): boolean {
  return Object.entries(expected).every(([name, value]: [string, unknown]) => {
    const found = (line as Readonly<Record<string, unknown>>)[name]
    return typeof value === 'object' && value !== null ? typeof found === 'object' && found !== null && matches(found, value) : found === value
  })
}
