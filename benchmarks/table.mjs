// What is printed of a question while it is asked: each case and variant, what it cost, and how much that is of the base.
import { judge } from './goals.mjs'
import { ratio, summary } from './statistics.mjs'

/** From which distance of the control from 1.00 the figures are too noisy to judge a goal by. */
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

/** How far the control is from what it repeats, at most: as far, any other figure may be off. */
export function noiseOf ({ control, base }, figures) {
  const [first, again] = Array.isArray(control) ? control : [base, control]
  const distances = Object.values(figures).filter((variants) => variants[again] !== undefined).map((variants) => Math.abs(ratio(variants[again], variants[first]).median - 1))
  return Math.max(...distances)
}

export function spread ({ median, low, high }) {
  return low === high ? median.toFixed(2) : `${median.toFixed(2)} (${low.toFixed(2)}–${high.toFixed(2)})`
}

/** A figure with as many digits as are worth reading. */
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
