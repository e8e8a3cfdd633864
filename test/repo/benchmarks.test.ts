import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { OUTSIDE } from '../support/processes.ts'

const ROOT = new URL('../../', import.meta.url)

interface Question {
  readonly name: string
  readonly base: string
  readonly control: string | readonly string[]
  readonly cases: readonly string[]
  readonly variants: readonly string[]
  readonly goals: ReadonlyArray<Readonly<Record<string, any>>>
}

interface Judged { readonly met: boolean, readonly found: { readonly median: number } }

// They are plain JavaScript, which the compiler does not read.
const { makeReport } = await load('report.mjs') as { makeReport: (results: object, doc: string) => Promise<{ doc: string, chart: string, scaleChart: string }> }
const { readQuestions } = await load('questions.mjs') as { readQuestions: () => Promise<readonly Question[]> }
const { judge } = await load('goals.mjs') as { judge: (question: object, line: string, figures: object) => readonly Judged[] }
const { runsOn } = await load('peers.mjs') as { runsOn: (variant: string, version: string) => boolean }

async function load (file: string): Promise<unknown> {
  return await import(new URL(`benchmarks/${file}`, ROOT).href)
}

function read (file: string): string {
  return readFileSync(new URL(file, ROOT), 'utf8')
}

/** Runs a file of benchmarks/ as a program without the test runner. */
async function run (...args: string[]): Promise<string> {
  const [file, ...options] = args
  const path = fileURLToPath(new URL(`benchmarks/${file}`, ROOT))
  const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', path, ...options], { env: OUTSIDE })
  return stdout
}

// Seconds on an idle core, much longer on a busy one.
t.setTimeout(600_000)

t.test('the benchmark page and its pictures match the saved results', async (t) => {
  const { doc, chart, scaleChart } = await makeReport(JSON.parse(read('benchmarks/results.json')) as object, read('docs/performance.md'))
  t.equal(read('docs/performance.md'), doc)
  t.equal(read('docs/performance.svg'), chart)
  t.equal(read('docs/performance-scale.svg'), scaleChart)
})

t.test('the saved results cover each question on each Node version, in each case of a variant, with the effort for it', async (t) => {
  const { nodes, questions } = JSON.parse(read('benchmarks/results.json')) as { nodes: Record<string, string>, questions: Record<string, Record<string, Readonly<Record<string, unknown>> & { figures: Record<string, object> }>> }
  for (const { name, cases, variants } of await readQuestions()) {
    for (const [line, version] of Object.entries(nodes)) {
      const saved = questions[name]?.[line]
      t.match(saved, { version: /^\d/, sets: Number, rounds: Number, count: Number }, `the effort for ${name} on Node ${line}`)
      const figures = saved?.figures ?? {}
      t.same(Object.keys(figures), cases, `${name} on Node ${line}`)
      const measured = new Set(Object.values(figures).flatMap((taken) => Object.keys(taken)))
      t.same(variants.filter((variant) => runsOn(variant, version) && !measured.has(variant)), [], `${name} on Node ${line}`)
    }
  }
})

t.test('each case of each variant runs', async (t) => {
  const tried = JSON.parse(await run('try.mjs')) as Record<string, Record<string, readonly string[]>>
  for (const { name, cases, variants, base, control } of await readQuestions()) {
    t.same(Object.keys(tried[name] ?? {}).sort(), [...cases].sort(), name)
    const ran = new Set(Object.values(tried[name] ?? {}).flat())
    t.same(variants.filter((variant) => runsOn(variant, process.versions.node) && !ran.has(variant)), [], name)
    t.ok([base, control].flat().every((variant) => ran.has(variant)), name)
  }
})

t.test('each goal refers to existing cases and variants, and says why it would be missed', async (t) => {
  for (const { name, cases, variants, goals } of await readQuestions()) {
    for (const { of, against, over, base, from, to, cases: some = [], why } of goals) {
      t.match(why, /^[A-Z].*\.$/, name)
      t.same([of, against, over, base].filter((variant) => variant !== undefined && !variants.includes(variant as string)), [], name)
      t.same([from, to, ...some as string[]].filter((it) => it !== undefined && !cases.includes(it as string)), [], name)
    }
  }
})

t.test('one round over processes and sockets is measured, reported and judged', async (t) => {
  const told = await run('run.mjs', '--quick', '--rounds', '1', '--requests', '20', '--questions', 'requests')
  for (const variant of ['bare', 'bare again', 'als.run by hand', 'request-context', 'fastify-ctx', 'fastify-ctx, reenter: false']) t.match(told, new RegExp(`^ +${variant} +[\\d.]+ µs +[\\d.]+ of bare$`, 'm'))
  t.match(told, /^ {2}(?:met {3}|MISSED) fastify-ctx ≤ request-context, GET over sockets: [\d.]+$/m)
})

t.test('a goal is met at its limit and missed beyond it, by the median of the sets', async (t) => {
  const question = (goal: object): object => ({ unit: 'B', cases: ['one', 'two'], goals: [{ of: 'ours', ...goal }] })
  const figures = { one: { ours: [11, 30, 12], theirs: [10, 10, 10] }, two: { ours: [24, 24, 24], theirs: [20, 20, 20] } }
  const verdicts = (goal: object): object[] => judge(question(goal), '20', figures).map(({ met, found }) => [met, Number(found.median.toFixed(3))])

  t.same(verdicts({ against: 'theirs', atMost: 1.2 }), [[true, 1.2], [true, 1.2]])
  t.same(verdicts({ against: 'theirs', atMost: 1.19 }), [[false, 1.2], [false, 1.2]])
  t.same(verdicts({ over: 'theirs', atMost: 3, cases: ['two'] }), [[false, 4]])
  t.same(verdicts({ base: 'theirs', from: 'one', to: 'two', growthAtMost: 1.1 }), [[true, 1]])
  t.same(verdicts({ from: 'one', to: 'two', growthAtMost: 1.1 }), [[false, 2]])
  t.same(verdicts({ base: 'theirs', from: 'one', to: 'two', steps: 2, slopeAtMost: 0.1 }), [[true, 0.1]])
  t.same(verdicts({ against: 'theirs', atMost: 1, nodes: ['24'] }), [])
})
