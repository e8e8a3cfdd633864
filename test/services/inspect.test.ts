// The page of fastify-ctx/inspect in an installed Chromium: its content security policy, and hostile values.
import Fastify from 'fastify'
import type { Browser, Page } from 'playwright-core'
import t from 'tap'
import { createContext, key } from '../../lib/index.ts'
import inspect from '../../lib/inspect.ts'
import { openBrowser } from '../support/browser.ts'
import { HOSTILE } from '../support/hostile.ts'
import { gate, listen, type Tap } from '../support/support.ts'

const ctx = createContext({
  tenant: key<string>({ seed: ({ headers }) => headers['x-tenant'] === undefined ? undefined : decodeURIComponent(headers['x-tenant'] as string), log: true }),
  user: key<string>({ seed: () => 'ada', log: true })
})

/** An application that holds a request of each tenant open, with the inspection page. */
async function open (t: Tap, browser: Browser, tenants: readonly string[]) {
  const app = Fastify()
  await app.register(ctx.plugin, { requestId: { pattern: /^[\x21-\x7e]{1,128}$/ } })
  await app.register(inspect, { unsafe: true })
  const held = gate()
  const entered = tenants.map(() => gate())
  for (const [i, { open }] of entered.entries()) app.get(`/<b>${i}`, async () => { open(); await held.promise; return 'ok' })
  const { url } = await listen(t, app)
  const answers: Array<Promise<Response>> = []
  for (const [i, tenant] of tenants.entries()) {
    answers.push(fetch(`${url}/${encodeURIComponent(`<b>${i}`)}`, { headers: { 'x-tenant': encodeURIComponent(tenant), 'x-request-id': `<i>${i}</i>` } }))
    await entered[i]!.promise
  }
  t.teardown(async () => { held.open(); await Promise.all(answers) })
  const page = await browser.newPage()
  const wrong: string[] = []
  const asked: string[] = []
  page.on('console', (message) => { if (message.type() === 'error') wrong.push(message.text()) })
  page.on('pageerror', (error) => { wrong.push(error.message) })
  page.on('request', (request) => { asked.push(request.url()) })
  const response = await page.goto(`${url}/_ctx`)
  await page.waitForSelector('#contexts table tbody tr')
  return { url, page, wrong, asked, response }
}

const column = async (page: Page, name: string): Promise<string[]> => {
  const heads = await page.locator('#contexts table').first().locator('th').allTextContents()
  return await page.locator('#contexts table').first().locator(`tbody td:nth-child(${heads.indexOf(name) + 1})`).allTextContents()
}

/** The text of an attack that runs in the browser, as if an attacker had got this far. */
const ATTACK = `(async () => {
  const tried = {}
  const attempt = (name, attack) => { try { attack(); tried[name] = 'done' } catch (error) { tried[name] = error.name } }
  attempt('text', () => { document.createElement('script').text = 'document.title = "hit"' })
  attempt('markup', () => { document.body.innerHTML = '<img src=x onerror="document.title=1">' })
  tried.elsewhere = await fetch('https://example.invalid/').then(() => 'sent', (error) => error.name)
  return { ...tried, title: document.title }
})()`

function testPage (t: Tap, browser: Browser): void {
  t.test('the page lists requests in flight, filters by tenant, sorts by age and refreshes itself', async (t) => {
    const { url, page, wrong, asked } = await open(t, browser, ['acme', 'globex', 'initech'])
    t.same((await column(page, 'id')).slice(0, 3), ['<i>0</i>', '<i>1</i>', '<i>2</i>'])
    t.match((await column(page, 'kind')).at(-1), 'request (this page)')
    await page.fill('#filter', 'globex')
    t.same(await column(page, 'fields'), ['tenant: globexuser: ada'])
    await page.selectOption('#field', 'user')
    t.same(await column(page, 'fields'), [])
    await page.fill('#filter', '')
    await page.selectOption('#order', 'newest')
    t.match((await column(page, 'kind'))[0], 'request (this page)')
    const before = await page.textContent('#status')
    // After the next refresh. The time limit of tap ends the wait.
    while (await page.textContent('#status') === before) await new Promise((resolve) => { setTimeout(resolve, 50) })
    t.same(wrong, [])
    t.same([...new Set(asked)].sort(), [`${url}/_ctx`, `${url}/_ctx/data`], 'it contacts no other host')
  })

  t.test('hostile tenants, ids and routes are shown as text: they add no element and run no script', async (t) => {
    const { page, wrong } = await open(t, browser, HOSTILE)
    t.same((await column(page, 'fields')).slice(0, HOSTILE.length), HOSTILE.map((tenant) => `tenant: ${tenant}user: ada`))
    t.same((await column(page, 'route')).slice(0, HOSTILE.length), HOSTILE.map((_, i) => `/<b>${i}`))
    t.same(await page.locator('img, svg, b, i, iframe, script:not(body > script:last-of-type)').count(), 0)
    t.equal(await page.title(), 'In flight')
    t.same(wrong, [])
  })

  t.test('the browser refuses what injected markup would do', async (t) => {
    const { page, response } = await open(t, browser, ['acme'])
    t.match(response!.headers()['content-security-policy'], "require-trusted-types-for 'script'")
    const outcome = await page.evaluate(ATTACK)
    t.same(outcome, { text: 'TypeError', markup: 'TypeError', elsewhere: 'TypeError', title: 'In flight' })
  })
}

const browser = await openBrowser(t, 'test/unit/inspect/script.test.ts runs the script of the page without one.')
if (browser !== undefined) testPage(t, browser)
