// Writes the tables of docs/performance.md, between their marks, and its two pictures, from the saved results.
import { readFileSync, writeFileSync } from 'node:fs'
import { replaceBlock, table } from '../scripts/markdown.mjs'
import { chartOf } from './chart.mjs'
import { judge } from './goals.mjs'
import { readQuestions } from './questions.mjs'
import { readResults } from './results.mjs'
import { scaleChartOf } from './scale-chart.mjs'
import { ratio, summary } from './statistics.mjs'
import { noiseOf, short, spread } from './table.mjs'

const DOC = new URL('../docs/performance.md', import.meta.url)
const CHART = new URL('../docs/performance.svg', import.meta.url)
const SCALE_CHART = new URL('../docs/performance-scale.svg', import.meta.url)

export async function writeReport () {
  const { doc, chart, scaleChart } = await makeReport(readResults(), readFileSync(DOC, 'utf8'))
  writeFileSync(DOC, doc)
  writeFileSync(CHART, chart)
  writeFileSync(SCALE_CHART, scaleChart)
}

/** The tables at the top of the page: each row is one variant as a ratio to another. */
const HEADLINES = {
  'a request': [
    { title: 'GET', question: 'requests', case: 'GET over sockets', base: 'request-context' },
    { title: 'POST', question: 'requests', case: 'POST over sockets', base: 'request-context' },
    { title: 'a handler that awaits 20 times', question: 'awaits', case: '20 awaits', base: 'request-context' },
    { title: 'GET with `reenter: false`', question: 'requests', case: 'GET over sockets', variant: 'fastify-ctx, reenter: false', base: 'request-context' },
    { title: 'POST with `reenter: false`', question: 'requests', case: 'POST over sockets', variant: 'fastify-ctx, reenter: false', base: 'request-context' },
    { title: 'GET, of Fastify without a context', question: 'requests', case: 'GET over sockets', base: 'bare' }
  ],
  lines: [
    { title: '3 log lines', question: 'log-lines', case: '3 lines', base: 'request-context + mixin' },
    { title: '10 log lines', question: 'log-lines', case: '10 lines', base: 'request-context + mixin' }
  ],
  'some calls': [
    { title: '`ctx.get`, of `getStore()?.key`', question: 'reads', case: 'a read', variant: 'ctx.get', base: 'getStore()?.key' },
    { title: '`request.ctx.key`, of `getStore()?.key`', question: 'reads', case: 'a read', variant: 'request.ctx.key', base: 'getStore()?.key' },
    { title: '`ctx.run` in a request, 2 keys, of `als.run` with a copy of the store', question: 'runs', case: '2 keys, in a request', base: 'by hand' },
    { title: '`ctx.run` in a request, 50 keys, of the same', question: 'runs', case: '50 keys, in a request', base: 'by hand' },
    { title: '`ctx.run` in a job, 2 keys, of the same', question: 'runs', case: '2 keys, in a job', base: 'by hand' },
    { title: '`ctx.run` in a job, 50 keys, of the same', question: 'runs', case: '50 keys, in a job', base: 'by hand' },
    { title: '`ctx.memo`, a hit, of a `Map` in the store', question: 'calls', case: 'memo, a hit', base: 'by hand' },
    { title: '`ctx.bind`, of a closure with `als.run`', question: 'calls', case: 'bind', base: 'by hand' }
  ]
}

/** The page and its pictures for these results. The prose of the page does not change. */
export async function makeReport (results, doc) {
  const lines = Object.keys(results.nodes)
  const questions = (await readQuestions()).filter(({ name }) => results.questions[name] !== undefined)
  const of = (question, line) => results.questions[question.name][line]
  for (const [name, rows] of Object.entries(HEADLINES)) doc = replaceBlock(doc, name, headlinesOf(rows, questions, lines, of))
  doc = replaceBlock(doc, 'machine', machineOf(results))
  doc = replaceBlock(doc, 'effort', effortOf(questions, lines, of))
  doc = replaceBlock(doc, 'goals', goalsOf(questions, lines, of))
  doc = replaceBlock(doc, 'missed goals', missedOf(questions, lines, of))
  for (const question of questions) {
    doc = replaceBlock(doc, question.name, figuresOf(question, lines, (line) => of(question, line)))
    if (question.instructions !== undefined) doc = replaceBlock(doc, `instructions of ${question.name}`, instructionsOf(question, lines, (line) => of(question, line)?.instructions))
  }
  return { doc, chart: chartOf(results), scaleChart: await scaleChartOf(results) }
}

function headlinesOf (headlines, questions, lines, of) {
  const noise = new Map(lines.map((line) => [line, 0]))
  const rows = headlines.map(({ title, question: asked, case: name, variant = 'fastify-ctx', base }) => [title, ...lines.map((line) => {
    const question = questions.find((question) => question.name === asked)
    const figures = question && of(question, line)?.figures?.[name]
    if (figures?.[variant] === undefined) return '–'
    noise.set(line, Math.max(noise.get(line), noiseOf(question, { [name]: figures })))
    return ratio(figures[variant], figures[base]).median.toFixed(2)
  })])
  return table(['', ...heads(lines)], [...rows, ['noise: the same program twice differs by up to', ...[...noise.values()].map(percent)]])
}

function machineOf ({ machine, nodes, versions, questions }) {
  const measured = new Set(Object.values(questions).flatMap((question) => Object.values(question)).map(({ version }) => version))
  return table(['', ''], [
    ['fastify-ctx', [...measured].join(', ')],
    ['machine', machine],
    ['Node.js', Object.values(nodes).join(', ')],
    ['packages', Object.entries(versions).map(([name, version]) => `\`${name}\` ${version}`).join(', ')],
    ['command', '`npm run bench -- --save`, with the effort of the next table']
  ])
}

/** How much each question was asked: one row for all Node versions with the same effort. */
function effortOf (questions, lines, of) {
  const rows = questions.flatMap((question) => {
    const linesBy = new Map()
    for (const line of lines.filter((line) => of(question, line)?.figures !== undefined)) {
      const { sets, rounds, count, warmUp } = of(question, line)
      const effort = [sets, rounds, count, warmUp].map((number) => number.toLocaleString('en')).join(' | ')
      linesBy.set(effort, [...linesBy.get(effort) ?? [], line])
    }
    return [...linesBy].map(([effort, some]) => [some.length === lines.length ? question.title : `${question.title}, Node ${some.join(', ')}`, ...effort.split(' | ')])
  })
  return table(['question', 'sets of processes', 'rounds in each', 'runs in a round', 'runs before, twice'], rows)
}

/** Each goal in each case on each Node version: the result, and whether it was missed. */
function goalsOf (questions, lines, of) {
  const rows = new Map()
  for (const question of questions) {
    for (const line of lines) {
      const figures = of(question, line)?.figures
      if (figures === undefined) continue
      const noise = noiseOf(question, figures)
      for (const { goal, case: name, found, limit, met, unit } of judge(question, line, figures)) {
        const key = `${goal} | ${name}`
        if (!rows.has(key)) rows.set(key, new Map())
        const near = unit === '' && Math.abs(found.median / limit - 1) < noise ? '≈ ' : ''
        const said = unit === '' ? `${near}${found.median.toFixed(found.median < 0.1 ? 4 : 3)}` : `${found.median.toFixed(0)} ${unit}`
        rows.get(key).set(line, met ? said : `**${said}, missed**`)
      }
    }
  }
  return table(['goal', 'case', ...heads(lines)], [...rows].map(([key, cells]) => [...key.split(' | '), ...lines.map((line) => cells.get(line) ?? '–')]))
}

/** The reason of each goal that was missed, and where. The reasons are in the questions. */
function missedOf (questions, lines, of) {
  const missed = new Map()
  for (const question of questions) {
    for (const line of lines) {
      for (const { goal, case: name, met, why } of judge(question, line, of(question, line)?.figures ?? {})) {
        if (met) continue
        const { cases } = missed.get(goal + why) ?? { cases: new Map() }
        cases.set(name, [...cases.get(name) ?? [], line])
        missed.set(goal + why, { goal, why, cases })
      }
    }
  }
  const where = (cases) => [...cases].map(([name, some]) => `${name} on Node ${some.join(', ')}`).join('; ')
  return missed.size === 0 ? 'No goal was missed.' : [...missed.values()].map(({ goal, why, cases }) => `- **${goal}** (${where(cases)}): ${why}`).join('\n')
}

/** The cost of each variant in each case on each Node version, and its ratio to the base, with the spread of the sets. */
function figuresOf (question, lines, of) {
  const { base, unit, variants } = question
  const rows = []
  for (const name of question.cases) {
    for (const variant of variants) {
      const cells = lines.map((line) => {
        const figures = of(line)?.figures?.[name]
        if (figures?.[variant] === undefined) return '–'
        const cost = `${short(summary(figures[variant]).median)} ${unit}`
        return variant === base || figures[base] === undefined ? cost : `${cost}, ${spread(ratio(figures[variant], figures[base]))}`
      })
      if (cells.some((cell) => cell !== '–')) rows.push([name, variant, ...cells])
    }
  }
  const noise = lines.map((line) => of(line)?.figures === undefined ? '–' : percent(noiseOf(question, of(line).figures)))
  return table(['case', '', ...heads(lines)], [...rows, ['noise', 'the same twice differs by at most', ...noise]])
}

function instructionsOf (question, lines, of) {
  const { base, instructions: { cases, variants } } = question
  if (lines.every((line) => of(line) === undefined)) return 'No instructions were counted with these figures.'
  const rows = cases.flatMap((name) => variants.map((variant) => [name, variant, ...lines.map((line) => {
    const counts = of(line)?.[name]
    if (counts?.[variant] === undefined) return '–'
    return variant === base ? `${counts[variant].toFixed(0)} k` : `${counts[variant].toFixed(0)} k, ${(counts[variant] / counts[base]).toFixed(2)}`
  })]))
  return table(['case', 'instructions', ...heads(lines)], rows)
}

function percent (share) {
  return Number.isFinite(share) ? `${(100 * share).toFixed(0)} %` : '–'
}

function heads (lines) {
  return lines.map((line) => `Node ${line}`)
}
