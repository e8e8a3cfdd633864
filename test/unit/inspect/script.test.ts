// Runs the script of the page in a document without a browser. test/services runs it in Chromium.
import { setTimeout as sleep } from 'node:timers/promises'
import { Window } from 'happy-dom'
import t from 'tap'
import type { OpenScope } from '../../../lib/index.ts'
import type { Report } from '../../../lib/inspect.ts'
import { PAGE } from '../../../lib/inspect/page.ts'
import { SCRIPT } from '../../../lib/inspect/script.ts'
import { HOSTILE } from '../../support/hostile.ts'
import type { Tap } from '../../support/support.ts'

const scope = (given: Partial<OpenScope>): OpenScope => ({
  kind: 'request', requestId: 'r-1', route: '/', phase: 'handler', name: undefined, age: 10, aborted: false, remaining: undefined, current: false, fields: {}, ...given
})

const report = (scopes: readonly OpenScope[]): Report => ({
  process: { pid: 1, node: 'v20', uptime: 100 },
  contexts: [{
    inFlight: {
      since: 1,
      counts: { opened: 3, ended: 1, collected: 2, lateReads: 4, earlyReads: 0, stillOpen: 0 },
      warnings: { FST_CTX_LATE_READ: 4 },
      open: { request: scopes.length, run: 0, detached: 0, onEnd: 0 },
      scopes
    },
    policy: [{ key: 'tenant', seeded: true, logged: 'value', locked: false, detached: true, carried: 'no', header: undefined, origins: ['https://a.example'], attribute: undefined, missing: 400 }]
  }],
  patches: [{ target: 'fastify', property: 'inject', state: 'not available', without: 'what runs before' }]
})

/** Opens the page with a report, or with another response instead. */
async function open (t: Tap, answer: () => { ok: boolean, status?: number, json?: () => Promise<unknown> }, path = '/_ctx') {
  const window = new Window({ url: `http://127.0.0.1${path}`, settings: { enableJavaScriptEvaluation: true, suppressInsecureJavaScriptEnvironmentWarning: true } })
  t.teardown(() => window.happyDOM.close())
  const asked: string[] = []
  Object.assign(window, { fetch: async (url: string) => { asked.push(url); return answer() } })
  window.document.write(PAGE)
  await sleep(50)
  const { document } = window
  const rows = () => [...document.querySelectorAll('#contexts table')[0]!.querySelectorAll('tbody tr')].map((row) => [...row.querySelectorAll('td')].map((cell) => cell.textContent))
  const set = (id: string, value: string) => {
    const control = document.getElementById(id)! as unknown as { value: string, dispatchEvent: (event: unknown) => void }
    control.value = value
    control.dispatchEvent(new window.Event('input', { bubbles: true }))
  }
  return { window, document, asked, rows, set, status: () => document.getElementById('status')!.textContent }
}

const answer = (scopes: readonly OpenScope[]) => () => ({ ok: true, json: async () => JSON.parse(JSON.stringify(report(scopes))) as unknown })

t.test('the page lists open scopes, oldest first, with all columns', async (t) => {
  const page = await open(t, answer([
    scope({ requestId: 'young', age: 10, fields: { tenant: 'acme' } }),
    scope({ requestId: 'old', age: 90_000, remaining: 0, aborted: true, fields: { tenant: 'globex', user: { id: 'ada' } } }),
    scope({ kind: 'detached', requestId: undefined, route: undefined, phase: undefined, name: 'sweep', age: 500_000, remaining: 1500 }),
    scope({ requestId: 'own', age: 1, current: true })
  ]))
  t.same(page.asked, ['/_ctx/data'])
  t.same(page.rows(), [
    ['detached', '', '', '', 'sweep', '8 min', '1.5 s', 'no', ''],
    ['request', 'old', '/', 'handler', '', '90.0 s', '0 ms', 'yes', 'tenant: globexuser: {"id":"ada"}'],
    ['request', 'young', '/', 'handler', '', '10 ms', '', 'no', 'tenant: acme'],
    ['request (this page)', 'own', '/', 'handler', '', '1 ms', '', 'no', '']
  ])
  t.match(page.status(), /^process 1, Node\.js v20, up for 100\.0 s, read at /)
  const text = page.document.body.textContent
  for (const shown of ['never ended, and collected2', 'late reads4', 'FST_CTX_LATE_READ4', 'https://a.example', 'not available', 'what runs before']) t.ok(text.includes(shown), shown)
})

t.test('the page filters by one field or by all, and reverses the order', async (t) => {
  const page = await open(t, answer([
    scope({ requestId: 'a', age: 1, fields: { tenant: 'acme', user: 'globex-fan' } }),
    scope({ requestId: 'b', age: 2, fields: { tenant: 'globex' } }),
    scope({ requestId: 'c', age: 3 })
  ]))
  const ids = (): unknown[] => page.rows().map(([, id]) => id)
  t.same(ids(), ['c', 'b', 'a'])
  page.set('order', 'newest')
  t.same(ids(), ['a', 'b', 'c'])
  page.set('filter', ' GLOBEX ')
  t.same(ids(), ['a', 'b'])
  t.same([...page.document.querySelectorAll('#field option')].map((option) => option.textContent), ['any field', 'tenant', 'user'])
  page.set('field', 'tenant')
  t.same(ids(), ['b'])
  page.set('filter', '')
  t.same(ids(), ['a', 'b', 'c'])
})

t.test('hostile ids, routes, names and fields are shown as text only', async (t) => {
  const plain = await open(t, answer([scope({ fields: { tenant: 'acme' }, name: 'work' })]))
  const tags = (document: { querySelectorAll: (all: '*') => ArrayLike<{ readonly tagName: string }> }): string[] => Array.from(document.querySelectorAll('*'), ({ tagName }) => tagName)
  for (const text of HOSTILE) {
    const page = await open(t, answer([scope({ requestId: text, route: text, phase: text, name: text, fields: { tenant: text } })]))
    t.same(page.rows(), [['request', text, text, text, text, '10 ms', '', 'no', `tenant: ${text}`]])
    t.same(tags(page.document), tags(plain.document), 'no elements but those of the page')
    t.equal(page.document.title, 'In flight')
  }
})

t.test('an error response is shown, and the page continues to poll', async (t) => {
  const page = await open(t, () => ({ ok: false, status: 401 }), '/admin/_ctx/')
  t.equal(page.status(), 'not updated: HTTP 401')
  t.same(page.asked, ['/admin/_ctx/data'])
  page.set('filter', 'x')
  await sleep(2100)
  t.equal(page.asked.length, 2)
})

t.test('the script uses no API that could parse markup or code from data', async (t) => {
  t.notMatch(SCRIPT, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval|new Function|setAttribute|\.href|\.src\b|<\/script|<!--/)
})
