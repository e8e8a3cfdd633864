import { fileURLToPath } from 'node:url'
import t from 'tap'
import { main } from '../../../../lib/testing/check/command.ts'

const file = (name: string): string => fileURLToPath(new URL(`apps/${name}.ts`, import.meta.url))

async function check (...args: string[]): Promise<{ code: number, text: string }> {
  const printed: string[] = []
  const code = await main(args, (text) => { printed.push(text) })
  return { code, text: printed.join('\n') }
}

t.test('check of an application without crossings prints what was checked, what was not and why, and how to repeat it', async (t) => {
  const { code, text } = await check('check', file('instance'), '--seed', '7', '--rounds=1')
  t.equal(code, 0, text)
  t.match(text, /^No value crossed between \d+ requests\.$/m)
  t.match(text, /^ {2}GET \/orders: 200 × \d+$/m)
  t.match(text, /^ {2}POST \/orders: 201 × \d+$/m)
  t.match(text, /^ {2}GET \/refused\/:id: 404 × \d+, only refused: hardly checked$/m)
  t.match(text, /^ {2}GET \/health: no part of its schema accepts a canary: give --header or --requests$/m)
  t.match(text, /^ {2}GET \/silent\/:id: its canary was in no response, .* \(200 × \d+\)$/m)
  t.ok(text.endsWith(`npx fastify-ctx check ${file('instance')} --rounds=1 --seed 7`))
})

t.test('check of an application with a crossing prints the report and exits with 1', async (t) => {
  for (const args of [['--header', 'X-Tenant-Id: {canary}'], ['--requests', file('requests')]]) {
    const { code, text } = await check('check', file('crossing'), '--seed=1', ...args)
    t.equal(code, 1)
    t.match(text, /^\d+ values crossed between 64 requests \(seed 1\)\n\n1\. request \d+, GET \/orders, saw the value of request/)
    t.match(text, /npx fastify-ctx check .*crossing\.ts .* --seed 1$/)
  }
})

t.test('check of a plugin prints nothing else', async (t) => {
  const { code, text } = await check('check', file('plugin'), '--rounds', '1', '--concurrency', '2')
  t.equal(code, 0)
  t.match(text, /^No value crossed between 4 requests\.\n\nchecked\n {2}GET \/echo\/:text: 200 × 4\n\nThe same/)
})

t.test('check sends the requests of a JSON file with the headers of --header', async (t) => {
  const list = `${t.testdir({ 'list.json': JSON.stringify([{ url: '/echo/{canary}' }, { method: 'GET', url: '/echo/2', headers: { accept: '*/*' } }]) })}/list.json`
  const { code, text } = await check('check', file('plugin'), '--requests', list, '--rounds', '1', '--header', 'x-tenant-id: {canary}')
  t.equal(code, 0, text)
  t.match(text, /GET \/echo\/\{canary\}: 200 × \d+\n {2}GET \/echo\/2: 200 × \d+/)
  t.match(text, /--header 'x-tenant-id: \{canary\}' --seed/)
})

t.test('check exits with 2 and the reason if nothing can be checked', async (t) => {
  t.match(await check('check', file('blind'), '--rounds', '1'), { code: 2, text: /^Nothing was checked\.\n\nnot checked\n {2}GET \/:id: its canary was in no response/ })
  t.match(await check('check', file('crossing')), { code: 2, text: /none of 1 routes has one\n {2}GET \/orders: no part of its schema/ })
  t.match(await check('check', file('nothing')), { code: 2, text: /exports, as default or as app[^]*Usage:/ })
})

t.test('check exits with 2 and the usage for invalid arguments, and prints the error of a missing file', async (t) => {
  for (const args of [[], ['check'], ['look', 'app.js'], ['check', 'a.js', 'b.js'], ['check', 'a.js', '--sed', '1'], ['check', 'a.js', '--seed', 'x'], ['check', 'a.js', '--header', 'nothing']]) {
    t.match(await check(...args), { code: 2, text: /Usage: fastify-ctx check/ }, args.join(' '))
  }
  const { code, text } = await check('check', 'not-there.js')
  t.equal(code, 2)
  t.match(text, /not-there\.js/)
  t.notMatch(text, /Usage/)
})

t.test('check --help prints the usage', async (t) => {
  t.match(await check('--help'), { code: 0, text: /^Usage: fastify-ctx check <app>/ })
})
