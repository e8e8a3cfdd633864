// The saved results: benchmarks/results.json, one question on one Node version at a time.
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { effortFor } from './measure.mjs'
import { ownVersion, versions } from './peers.mjs'

const FILE = new URL('results.json', import.meta.url)
const NEW = new URL('results.json.new', import.meta.url)

export function readResults () {
  return JSON.parse(readFileSync(FILE, 'utf8'))
}

/**
 * Replaces the result of this question on this Node version, with the effort that it took. New figures remove old counts of
 * instructions, which may be of other code.
 */
export function keep ({ question, line, node, effort, figures, instructions }) {
  const results = readOrStart()
  results.machine = `${cpus()[0].model}, ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GB`
  results.versions = versions()
  results.nodes[line] = node.version
  const kept = (results.questions[question.name] ??= {})
  if (figures !== undefined) kept[line] = { version: ownVersion(), ...effortFor(question, effort), figures }
  if (instructions !== undefined) kept[line] = { ...kept[line], instructions }
  const text = JSON.stringify(results, undefined, 1).replace(/\[\s+([^\]]*?)\s+\]/g, (_all, inner) => `[${inner.replace(/\s+/g, ' ')}]`)
  // An interrupted run leaves a whole file.
  writeFileSync(NEW, `${text}\n`)
  renameSync(NEW, FILE)
}

function readOrStart () {
  try {
    return readResults()
  } catch (error) {
    if (error.code !== 'ENOENT') throw error
    return { machine: '', versions: {}, nodes: {}, questions: {} }
  }
}
