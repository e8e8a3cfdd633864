// Judges the goals. A goal is data in its question: what is compared (`of`) with what (`against`: a ratio; `over`: a difference; `from` and `to`: growth), on
// which Node versions, in which cases, the limit, and `why` it is missed if it is.
import { combined, ratio } from './statistics.mjs'

/** Each goal of a question on one Node version, in each of its cases: its text, the result, the limit, and whether it is met. */
export function judge (question, line, figures) {
  return question.goals.filter(({ nodes }) => nodes === undefined || nodes.includes(line)).flatMap((goal) => {
    const measured = (name) => figures[name] !== undefined
    const cases = goal.from === undefined ? (goal.cases ?? question.cases).filter(measured) : [goal.from, goal.to].every(measured) ? [`from ${goal.from} to ${goal.to}`] : []
    return cases.map((name) => {
      const found = goal.from === undefined ? compared(goal, figures[name]) : grown(goal, figures)
      return { goal: textOf(goal, question), case: name, found, limit: limitOf(goal), met: found.median <= limitOf(goal), why: goal.why, unit: goal.over === undefined ? '' : question.unit }
    })
  })
}

function limitOf ({ atMost, growthAtMost, slopeAtMost }) {
  return atMost ?? growthAtMost ?? slopeAtMost
}

/** The text of a goal. */
export function textOf (goal, question) {
  if (goal.growthAtMost !== undefined) return `${goal.of}: grows by at most ${goal.growthAtMost.toFixed(2)} times${goal.base === undefined ? '' : ` what ${goal.base} does`}`
  if (goal.slopeAtMost !== undefined) return `${goal.of}: each one more costs at most ${goal.slopeAtMost} of a ${goal.base} request`
  if (goal.over !== undefined) return `${goal.of} ≤ ${goal.over} + ${goal.atMost} ${question.unit}`
  return goal.atMost === 1 ? `${goal.of} ≤ ${goal.against}` : `${goal.of} ≤ ${goal.atMost.toFixed(2)} of ${goal.against}`
}

function compared ({ of, against, over }, variants) {
  return against === undefined ? combined((a, b) => a - b, variants[of], variants[over]) : ratio(variants[of], variants[against])
}

function grown ({ of, base, from, to, steps, slopeAtMost }, figures) {
  const [ofFrom, ofTo] = [figures[from][of], figures[to][of]]
  if (base === undefined) return ratio(ofTo, ofFrom)
  const [baseFrom, baseTo] = [figures[from][base], figures[to][base]]
  return slopeAtMost === undefined
    ? combined((a, b, c, d) => (b / d) / (a / c), ofFrom, ofTo, baseFrom, baseTo)
    : combined((a, b, c, d) => ((b - a) - (d - c)) / steps / c, ofFrom, ofTo, baseFrom, baseTo)
}
