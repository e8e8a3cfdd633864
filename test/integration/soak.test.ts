import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { slopeOf } from '../soak/heap.ts'
import { readOptions } from '../soak/options.ts'
import { SHAPES } from '../soak/shapes.ts'
import { ALIVE, FLAT, ONCE, verdictOf, type Outcome } from '../soak/verdict.ts'
import { LOADER, OUTSIDE } from '../support/processes.ts'

const MAIN = fileURLToPath(new URL('../soak/main.ts', import.meta.url))

interface Run {
  readonly code: number
  readonly verdict: string
  readonly output: string
}

/** Runs a soak in a separate process without the test runner. */
async function run (...args: string[]): Promise<Run> {
  const { code = 0, stdout, stderr } = await promisify(execFile)(process.execPath, ['--expose-gc', ...LOADER, MAIN, ...args], { env: OUTSIDE })
    .then(({ stdout, stderr }) => ({ code: 0, stdout, stderr }), (error: { code: number, stdout: string, stderr: string }) => error)
  return { code, verdict: stdout.trimEnd().split('\n').at(-1)!, output: `${stdout}${stderr}` }
}

/** The number before a word in a verdict. */
function countIn (verdict: string, word: string): number {
  return Number(new RegExp(`(\\d[\\d,]*) ${word}`).exec(verdict)?.[1]?.replaceAll(',', '') ?? NaN)
}

const SHORT = ['--minutes', '0.08', '--concurrency', '60', '--seed', '7'] as const

const COUNTS = ['crossings', 'lost', 'failed', 'unhandled'] as const

t.test('a short soak finds no fault, and has covered everything', async (t) => {
  const { code, verdict, output } = await run('--minutes', '0.2', '--concurrency', '100', '--seed', '20261122')
  t.comment(output)
  for (const word of COUNTS) t.equal(countIn(verdict, word), 0, word)
  t.match(verdict, /^soak: ok: .* scopes opened and ended, .* seed 20261122$/)
  t.equal(code, 0)
  const requests = countIn(verdict, 'requests in')
  t.ok(requests > 20 * Object.keys(SHAPES).length, 'many requests of each shape')
  t.ok(countIn(verdict, 'scopes opened and ended') > requests, 'a scope per request, and for jobs')
  t.match(verdict, /heap [+-]\d+\.\d kB per 1,000 requests \(95 %: -?\d+\.\d to -?\d+\.\d\)/)
})

t.test('a short soak with reenter: false, where code called by others is bound by hand: no crossings, and every scope ends', async (t) => {
  const { verdict, output } = await run(...SHORT, '--by-hand')
  t.comment(output)
  for (const word of ['crossings', 'failed', 'unhandled']) t.equal(countIn(verdict, word), 0, word)
  t.match(verdict, /[\d,]+ scopes opened and ended, /)
})

t.test('a soak finds each planted fault and no other', async (t) => {
  // A task that runs in no scope, or in that of a request without a user, also causes losses.
  const crossing = await run(...SHORT, '--plant', 'crossing')
  t.equal(crossing.code, 1)
  t.match(crossing.verdict, /^soak: NOT OK \(crossings\b/, 'a crossing')
  t.ok(countIn(crossing.verdict, 'crossings') > 0)

  const others = await run(...SHORT, '--plant', 'loss', '--plant', 'rejection', '--plant', 'scope')
  t.equal(others.code, 1)
  t.match(others.verdict, /^soak: NOT OK \(lost, unhandled, scopes\b/, 'a loss, a rejection, and a scope that does not end')
  t.equal(countIn(others.verdict, 'crossings'), 0)
  for (const word of ['lost', 'unhandled']) t.ok(countIn(others.verdict, word) > 0, word)
  t.ok(countIn(others.verdict, 'scopes opened') > countIn(others.verdict, 'ended'))

  const leak = await run(...SHORT, '--plant', 'leak')
  t.equal(leak.code, 1)
  t.match(leak.verdict, /^soak: NOT OK \(alive, heap\): /, 'a leak')
  t.ok(countIn(leak.verdict, 'in memory') > countIn(leak.verdict, 'requests in') / 2)
  for (const { output } of [crossing, others, leak]) t.comment(output)
})

t.test('invalid arguments stop a soak before it starts, and print what is accepted', async (t) => {
  const { code, output } = await run('--concurrency', 'many')
  t.equal(code, 2)
  t.match(output, /--concurrency takes a number from 1 to 2000, not 'many'/)
  t.match(output, /--minutes <n>/, 'and the usage')
  for (const args of [['--minutes', '0'], ['--minutes', ''], ['--seed', '1.5'], ['--seed', '-1'], ['--plant', 'nothing'], ['--fast'], ['now']]) {
    t.throws(() => readOptions(args), args.join(' '))
  }
  t.same(readOptions(['--seed', '4', '--plant', 'leak', '--plant', 'loss']), { milliseconds: 180_000, concurrency: 300, seed: 4, plant: new Set(['leak', 'loss']), byHand: false })
})

const GOOD: Outcome = {
  requests: 100_000,
  seconds: 10,
  most: 90,
  crossings: 0,
  lost: 0,
  failed: 0,
  unhandled: 0,
  opened: 100_100,
  ended: 100_100,
  alive: ALIVE,
  looks: { values: 1, get: 1 },
  heap: { bytes: 5, low: -10, high: 9 * FLAT },
  seed: 1
}

/** By how much the heap may grow per 1,000 of this many requests. */
const LIMIT = FLAT + ONCE / 100

t.test('each single fault fails the verdict and is named', async (t) => {
  t.equal(verdictOf(GOOD).ok, true)
  t.equal(verdictOf({ ...GOOD, heap: { bytes: 5, low: 1, high: LIMIT - 1 } }).ok, true, 'a heap that hardly grows')
  const bad: ReadonlyArray<readonly [string, Partial<Outcome>]> = [
    ['crossings', { crossings: 1 }],
    ['lost', { lost: 1 }],
    ['failed', { failed: 1 }],
    ['unhandled', { unhandled: 1 }],
    ['scopes', { ended: 100_099 }],
    ['alive', { alive: ALIVE + 1 }],
    ['heap', { heap: { bytes: LIMIT, low: 1, high: LIMIT } }],
    ['heap', { heap: { bytes: NaN, low: NaN, high: NaN } }],
    ['not seen: get', { looks: { values: 1, get: 0 } }]
  ]
  for (const [name, wrong] of bad) {
    const { ok, text } = verdictOf({ ...GOOD, ...wrong })
    t.equal(ok, false, name)
    t.match(text, `soak: NOT OK (${name}): `)
  }
})

t.test('the slope of the heap is that of a least-squares line, with Student\'s confidence interval', async (t) => {
  // By hand: the slope is 8 / 10, the margin 3.182 times the square root of 2.4 / 3 / 10.
  const { bytes, low, high } = slopeOf([2, 1, 4, 3, 5].map((bytes, i) => ({ requests: i, bytes })))
  t.equal(bytes, 800)
  t.ok(Math.abs((high - low) / 2 - 3182.4 * Math.sqrt(3.6 / 3 / 10)) < 25, String(high - low))
  const exact = slopeOf([1, 2, 3, 4, 5, 6].map((n) => ({ requests: n * 1000, bytes: n * 7 })))
  for (const figure of [exact.bytes, exact.low, exact.high]) t.ok(Math.abs(figure - 7) < 1e-6)
})
