// npm run bench [-- --quick]: what a request costs with each kind of context, on the Node that runs this.
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { names } from './services.mjs'

const quick = process.argv.includes('--quick')
const rounds = quick ? 3 : 8
const requests = quick ? 4000 : 15000
const measure = fileURLToPath(new URL('measure.mjs', import.meta.url))

const questions = [
  ['GET by inject', 'GET', 0, 'inject'],
  ['GET over a socket', 'GET', 0, 'socket'],
  ['POST JSON over a socket', 'POST', 0, 'socket'],
  ['GET by inject, 3 log lines', 'GET', 3, 'inject'],
  ['GET by inject, 10 log lines', 'GET', 10, 'inject']
]

console.log(`node ${process.version}, ${rounds} interleaved rounds of ${requests} requests, CPU a request: mean of the three lowest rounds`)
console.log('"bare again" is the control: its distance from 1.00 is the noise of this run\n')
for (const [title, method, lines, transport] of questions) {
  const figures = new Map(names.map((name) => [name, []]))
  for (let round = 0; round < rounds; round++) {
    for (const name of names) {
      const printed = execFileSync(process.execPath, [measure, name, method, String(lines), transport, String(requests)], { encoding: 'utf8' })
      figures.get(name).push(Number(printed))
    }
  }
  const low = (name) => figures.get(name).toSorted((a, b) => a - b).slice(0, 3).reduce((sum, figure) => sum + figure / 3, 0)
  console.log(title)
  for (const name of names) console.log(`  ${name.padEnd(16)} ${low(name).toFixed(1).padStart(6)} µs  ${(low(name) / low('bare')).toFixed(2)} of bare`)
  console.log()
}
