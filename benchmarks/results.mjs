// The saved results: benchmarks/results.json, one question on one Node version at a time.
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { versions } from './peers.mjs'

const FILE = new URL('results.json', import.meta.url)

export function readResults () {
  return JSON.parse(readFileSync(FILE, 'utf8'))
}

/** Replaces the result of this question on this Node version. */
export function keep ({ question, line, node, effort, figures, instructions }) {
  const results = readOrStart()
  results.machine = `${cpus()[0].model}, ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GB`
  results.versions = versions()
  results.nodes[line] = node.version
  const kept = (results.questions[question.name] ??= {})[line] ??= {}
  if (figures !== undefined) Object.assign(kept, { sets: effort.sets, rounds: Math.min(effort.rounds, question.mostRounds ?? effort.rounds), figures })
  if (instructions !== undefined) Object.assign(kept, { instructions })
  writeFileSync(FILE, `${JSON.stringify(results, undefined, 1).replace(/\[\s+([^\]]*?)\s+\]/g, (_all, inner) => `[${inner.replace(/\s+/g, ' ')}]`)}\n`)
}

function readOrStart () {
  try {
    return readResults()
  } catch (error) {
    if (error.code !== 'ENOENT') throw error
    return { machine: '', versions: {}, nodes: {}, questions: {} }
  }
}
