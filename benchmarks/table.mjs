// The printed table of a question: each case and variant, its cost, and its ratio to the base.
import { judge } from './goals.mjs'
import { ratio, summary } from './statistics.mjs'

/** If the control differs from 1.00 by more than this, the figures are too noisy to judge a goal. */
const NOISY = 0.05

export function printQuestion (question, line, figures) {
  console.log(`\n${question.title}, on Node ${line}`)
  for (const [name, variants] of Object.entries(figures)) {
    console.log(`  ${name}`)
    for (const [variant, taken] of Object.entries(variants)) {
      const cost = `${short(summary(taken).median)} ${question.unit}`
      const base = variants[question.base]
      console.log(`    ${variant.padEnd(30)} ${cost.padStart(12)}${base === undefined ? '' : `   ${spread(ratio(taken, base))} of ${question.base}`}`)
    }
  }
  for (const { goal, case: name, found, met, unit } of judge(question, line, figures)) {
    console.log(`  ${met ? 'met   ' : 'MISSED'} ${goal}, ${name}: ${unit === '' ? found.median.toFixed(3) : `${found.median.toFixed(0)} ${unit}`}`)
  }
  const noise = noiseOf(question, figures)
  if (noise > NOISY) console.log(`  NOISE: the same twice differs by ${(100 * noise).toFixed(0)} %. Ask again on a quiet machine, with more rounds`)
}

/** The largest deviation of the control from what it repeats. Every other figure may be off as far. */
export function noiseOf ({ control, base }, figures) {
  const [first, again] = Array.isArray(control) ? control : [base, control]
  const distances = Object.values(figures).filter((variants) => variants[again] !== undefined).map((variants) => Math.abs(ratio(variants[again], variants[first]).median - 1))
  return Math.max(...distances)
}

export function spread ({ median, low, high }) {
  return low === high ? median.toFixed(2) : `${median.toFixed(2)} (${low.toFixed(2)}–${high.toFixed(2)})`
}

/** A figure with its significant digits. */
export function short (figure) {
  return figure >= 100 ? figure.toFixed(0) : figure.toFixed(1)
}

export function printInstructions (question, line, instructions) {
  for (const [name, variants] of Object.entries(instructions)) {
    console.log(`  ${name}: thousands of instructions`)
    for (const [variant, count] of Object.entries(variants)) {
      console.log(`    ${variant.padEnd(30)} ${short(count).padStart(12)}   ${(count / variants[question.base]).toFixed(3)} of ${question.base}`)
    }
  }
}
